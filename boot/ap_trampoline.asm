; From a startup interrupt to C, for every CPU but the one that booted: real mode, protected mode, long mode.
;
; The startup interrupt carries a page number below 1 MiB and nothing else; the CPU begins there in real mode, with
; CS = page * 256 and IP = 0. So this lies in the image as data. kernel/smp_boot.c copies it to such a page, writes what
; differs from CPU to CPU behind it (struct ap_parameters), maps the page where it lies, executable and read-only, for as
; long as the CPU takes to leave it, and then puts back what was there.
;
; Nothing here knows that page's address before it runs: EBX holds it, and three pointers are completed in place while
; there is no paging that could forbid it. A fault here resets the machine: there is no interrupt table yet.

CR0_PE           equ 1 << 0
CR0_NW           equ 1 << 29	; after INIT, the caches are off
CR0_CD           equ 1 << 30
CR4_LA57         equ 1 << 12
CPUID_LA57       equ 1 << 16	; in ECX of leaf 7
MSR_EFER         equ 0xc0000080
EFER_LME         equ 1 << 8
EFER_NXE         equ 1 << 11

CODE32_SELECTOR  equ 0x08
DATA_SELECTOR    equ 0x10
CODE64_SELECTOR  equ 0x18

%define AT(label) ((label) - ap_trampoline)

section .rodata.ap_trampoline progbits alloc noexec nowrite align=16

global ap_trampoline, ap_trampoline_size, ap_trampoline_parameters

; ------------------------------------------------------------------------------------------------ 16-bit

bits 16
ap_trampoline:
	cli
	cld
	mov	ax, cs
	mov	ds, ax
	movzx	ebx, ax
	shl	ebx, 4
	lea	eax, [ebx + AT(gdt)]
	mov	[AT(gdt_pointer) + 2], eax
	lea	eax, [ebx + AT(protected)]
	mov	[AT(to_protected)], eax
	lea	eax, [ebx + AT(long_mode)]
	mov	[AT(to_long)], eax
	o32 lgdt [AT(gdt_pointer)]
	mov	eax, cr0
	and	eax, ~(CR0_CD | CR0_NW)
	or	eax, CR0_PE
	mov	cr0, eax
	jmp	dword far [AT(to_protected)]

; ------------------------------------------------------------------------------------------------ 32-bit

; In the order the processor demands: PAE, root, LME, then PG. Intel SDM vol. 3A, section 9.8.5. The tables have as many
; levels as the boot CPU walks. A CPU that cannot walk five has no way into C: it says so in our parameters, and waits to be
; reset.
bits 32
protected:
	mov	eax, DATA_SELECTOR
	mov	ds, eax
	mov	es, eax
	mov	ss, eax
	test	dword [ebx + AT(cr4_at_entry)], CR4_LA57
	jz	.levels
	mov	esi, ebx		; CPUID takes EBX
	xor	eax, eax
	cpuid
	xor	ecx, ecx
	cmp	eax, 7
	jb	.known
	mov	eax, 7
	cpuid
.known:
	mov	ebx, esi
	test	ecx, CPUID_LA57
	jz	too_few_levels
.levels:
	mov	eax, [ebx + AT(cr4_at_entry)]
	mov	cr4, eax
	mov	eax, [ebx + AT(root)]
	mov	cr3, eax
	mov	ecx, MSR_EFER
	rdmsr
	or	eax, EFER_LME | EFER_NXE
	wrmsr
	mov	eax, [ebx + AT(cr0_of_boot_cpu)]
	mov	cr0, eax
	jmp	far [ebx + AT(to_long)]	; this page goes on by its identity mapping

too_few_levels:
	mov	dword [ebx + AT(refusal)], 1
.forever:
	hlt
	jmp	.forever

; ------------------------------------------------------------------------------------------------ 64-bit

bits 64
long_mode:
	mov	ebx, ebx		; the upper half is undefined after the switch
	mov	rsp, [rbx + AT(stack_top)]
	mov	rdi, [rbx + AT(argument)]
	mov	rax, [rbx + AT(entry)]
	xor	ebp, ebp		; the outermost frame of every backtrace
	push	rbp			; and it returns to nowhere
	jmp	rax

; ------------------------------------------------------------------------------------------------ data

	align 8, db 0
gdt:
	dq 0
	dq 0x00cf9b000000ffff		; flat 32-bit code; accessed already: nobody may write here once paging is on
	dq 0x00cf93000000ffff		; flat data
	dq 0x00af9b000000ffff		; 64-bit code
gdt_end:
gdt_pointer:
	dw gdt_end - gdt - 1
	dd 0
to_protected:
	dd 0
	dw CODE32_SELECTOR
to_long:
	dd 0
	dw CODE64_SELECTOR

; struct ap_parameters of <boot/ap_trampoline.h>
	align 8, db 0
parameters:
root:            dd 0
cr0_of_boot_cpu: dd 0
cr4_at_entry:    dd 0
refusal:         dd 0
stack_top:       dq 0
entry:           dq 0
argument:        dq 0
end:

	align 4, db 0
ap_trampoline_size:       dd AT(end)
ap_trampoline_parameters: dd AT(parameters)

section .note.GNU-stack progbits noalloc noexec nowrite
