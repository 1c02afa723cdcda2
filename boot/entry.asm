; From the boot loader's 32-bit protected mode to kernel_main() at -2 GiB.
;
; The image is linked at KIMAGE_BASE + 1 MiB and loaded at 1 MiB; until paging is on, every address is PHYS(symbol).
; The loader (multiboot2 specification 2.0, section 3.3) guarantees EAX, EBX, flat segments, A20, paging off and
; interrupts masked; nothing else, not even a stack. A machine we cannot run on is told so on COM1 and on the VGA text
; screen, then the CPU halts: without long mode there is no C to say it.
;
; Boot page tables, used until mm_init() switches to the final ones: one directory of 2 MiB leaves for each of the
; first 4 GiB, seen through three windows:
;
;	pml5[0]    pml4, and so is pml5[511]: where the processor walks five levels (LA57), this is the root, else pml4 is
;	pml4[0]    identity, executable: we stand in it when paging goes on
;	pml4[256]  direct map, never executable
;	pml4[511]  kernel image, the first 1 GiB at -2 GiB

KIMAGE_BASE      equ 0xffffffff80000000
%define PHYS(symbol) (symbol - KIMAGE_BASE)

LOADER_MAGIC     equ 0x36d76289	; what EAX holds when a multiboot2 loader starts us
HEADER_MAGIC     equ 0xe85250d6
HEADER_OPTIONAL  equ 1		; tag flag: a loader that does not know the tag goes on

PAGE             equ 4096
GIB_MAPPED       equ 4
PTE_PRESENT      equ 1 << 0
PTE_WRITE        equ 1 << 1
PTE_LARGE        equ 1 << 7
PTE_NX_HIGH      equ 1 << 31	; bit 63, in an entry's upper half
LEAF_SIZE        equ 2 << 20

CR0_PG           equ 1 << 31
CR0_WP           equ 1 << 16
CR4_PAE          equ 1 << 5
CR4_LA57         equ 1 << 12
MSR_EFER         equ 0xc0000080
EFER_LME         equ 1 << 8
EFER_NXE         equ 1 << 11
EFLAGS_ID        equ 1 << 21
CPUID_LA57       equ 1 << 16	; in ECX of leaf 7

COM1             equ 0x3f8
SEND_POLLS_MAX   equ 10000		; a hundred characters' time: a dead line
VGA_TEXT         equ 0xb8000
VGA_ATTRIBUTE    equ 0x4f00	; white on red
DEBUG_EXIT_PORT  equ 0xf4
EXIT_PANIC       equ 0x12	; <kernel/panic.h>

extern kernel_main

; ------------------------------------------------------------------------------------------------ multiboot2 header

section .multiboot2 progbits alloc noexec nowrite align=8
header:
	dd HEADER_MAGIC, 0, header_end - header	; 0: 32-bit protected mode of i386
	dd -(HEADER_MAGIC + (header_end - header)) & 0xffffffff

	; type, flags, size of each tag, then its payload; tags start on multiples of 8
	dw 1, 0				; information we cannot do without:
	dd 24, 1, 2, 6, 9		; command line, loader name, memory map, ELF sections
	dw 1, HEADER_OPTIONAL		; and what we like to have:
	dd 20, 8, 14, 15		; framebuffer, ACPI root pointer old and new
	align 8, db 0
	dw 4, HEADER_OPTIONAL		; console: none demanded, EGA text understood
	dd 12, 1 << 1
	align 8, db 0
	dw 5, HEADER_OPTIONAL		; framebuffer, of this size if it can be chosen: 128 by 48 characters
	dd 20, 1024, 768, 32
	align 8, db 0
	dw 6, 0				; modules start on pages
	dd 8
	dw 0, 0				; end
	dd 8
header_end:

; ------------------------------------------------------------------------------------------------ 32-bit

section .text.boot progbits alloc exec nowrite align=16
bits 32

global entry:function
entry:
	mov	esp, PHYS(boot_stack_top)
	push	dword 0			; no interrupts, no traps, upward strings, AC off: SMAP must bind
	popfd
	mov	[PHYS(loader_magic)], eax
	mov	[PHYS(loader_information)], ebx
	mov	esi, PHYS(text_no_multiboot2)
	cmp	eax, LOADER_MAGIC
	jne	refuse
	call	read_features
	call	check_features
	call	build_tables
	call	enable_long_mode
	lgdt	[PHYS(boot_gdt_pointer)]
	jmp	CODE_SELECTOR:PHYS(enter_higher_half)

; Fills `features` from CPUID, and boot_tsc as soon as there is known to be a time stamp counter: a score of
; instructions after entry. Leaves the words zero that this CPU does not report.
read_features:
	pushfd				; CPUID exists if EFLAGS.ID can be changed
	pop	eax
	mov	ecx, eax
	xor	eax, EFLAGS_ID
	push	eax
	popfd
	pushfd
	pop	eax
	push	ecx
	popfd
	mov	esi, PHYS(text_no_cpuid)
	xor	eax, ecx
	test	eax, EFLAGS_ID
	jz	refuse
	mov	eax, 1			; every CPU with CPUID has leaf 1
	cpuid
	mov	[PHYS(features)], edx
	test	edx, 1 << 4
	jz	.extended
	rdtsc
	mov	[PHYS(boot_tsc)], eax
	mov	[PHYS(boot_tsc) + 4], edx
.extended:
	xor	eax, eax
	cpuid
	cmp	eax, 7
	jb	.long_mode
	mov	eax, 7
	xor	ecx, ecx
	cpuid
	mov	[PHYS(features) + 8], ecx
.long_mode:
	mov	eax, 0x80000000
	cpuid
	cmp	eax, 0x80000001		; unsigned: old CPUs answer with a basic leaf's garbage
	jb	.done
	cmp	eax, 0x8000ffff
	ja	.done
	mov	eax, 0x80000001
	cpuid
	mov	[PHYS(features) + 4], edx
.done:
	ret

; Names every required feature that is missing, then refuses; returns if there is none.
check_features:
	mov	ebx, PHYS(demands)
	xor	ebp, ebp		; how many are missing
.next:
	mov	eax, [ebx]		; word of `features`
	mov	edx, [ebx + 4]		; bit
	test	[PHYS(features) + eax], edx
	jnz	.present
	test	ebp, ebp
	jnz	.name
	call	serial_init
	mov	esi, PHYS(text_missing)
	call	say
.name:
	inc	ebp
	mov	esi, [ebx + 8]
	call	say
.present:
	add	ebx, DEMAND_SIZE
	cmp	ebx, PHYS(demands_end)
	jne	.next
	test	ebp, ebp
	jnz	halt
	ret

; The tables lie in .bss, which the loader has zeroed.
build_tables:
	mov	edi, PHYS(boot_directories)
	mov	eax, PTE_PRESENT | PTE_WRITE | PTE_LARGE
	mov	ecx, GIB_MAPPED * 512
.leaf:
	mov	[edi], eax
	add	edi, 8
	add	eax, LEAF_SIZE
	loop	.leaf

	mov	edi, PHYS(boot_pdpt_low)
	mov	eax, PHYS(boot_directories) + (PTE_PRESENT | PTE_WRITE)
	mov	[PHYS(boot_pdpt_image) + 510 * 8], eax
	mov	ecx, GIB_MAPPED
.gib:
	mov	[edi], eax
	add	edi, 8
	add	eax, PAGE
	loop	.gib

	mov	eax, PHYS(boot_pdpt_low) + (PTE_PRESENT | PTE_WRITE)
	mov	[PHYS(boot_pml4)], eax
	mov	[PHYS(boot_pml4) + 256 * 8], eax
	mov	dword [PHYS(boot_pml4) + 256 * 8 + 4], PTE_NX_HIGH
	mov	eax, PHYS(boot_pdpt_image) + (PTE_PRESENT | PTE_WRITE)
	mov	[PHYS(boot_pml4) + 511 * 8], eax

	mov	eax, PHYS(boot_pml4) + (PTE_PRESENT | PTE_WRITE)
	mov	[PHYS(boot_pml5)], eax
	mov	[PHYS(boot_pml5) + 511 * 8], eax
	ret

; In the order the processor demands: PAE, root, LME, then PG. Intel SDM vol. 3A, section 9.8.5. Nothing else that the
; loader left in CR4 is kept. How many levels there are is decided here, for good and for every CPU: long mode would have
; to be left to change it.
enable_long_mode:
	mov	eax, CR4_PAE
	mov	ebx, PHYS(boot_pml4)
	test	dword [PHYS(features) + 8], CPUID_LA57
	jz	.root
	or	eax, CR4_LA57
	mov	ebx, PHYS(boot_pml5)
.root:
	mov	cr4, eax
	mov	cr3, ebx
	mov	ecx, MSR_EFER
	rdmsr
	or	eax, EFER_LME | EFER_NXE
	wrmsr
	mov	eax, cr0
	or	eax, CR0_PG | CR0_WP
	mov	cr0, eax
	ret

; esi: why. Does not return.
refuse:
	call	serial_init
	call	say
halt:
	mov	esi, PHYS(text_newline)
	call	say
	mov	al, EXIT_PANIC
	out	DEBUG_EXIT_PORT, al
.forever:
	cli
	hlt
	jmp	.forever

; COM1, 115200 8N1, polled. Keeps esi.
serial_init:
	push	esi
	mov	esi, PHYS(serial_setup)
.next:
	movzx	edx, byte [esi]
	mov	al, [esi + 1]
	add	edx, COM1
	out	dx, al
	add	esi, 2
	cmp	esi, PHYS(serial_setup_end)
	jne	.next
	pop	esi
	ret

; esi: NUL-terminated text, to COM1 and to the text screen. An absent UART reads as ready; one that is stuck is waited
; for a while, and then only the screen tells. Clobbers ecx.
say:
	mov	edi, [PHYS(screen)]
.next:
	lodsb
	test	al, al
	jz	.done
	mov	ah, al
	mov	edx, COM1 + 5
	mov	ecx, SEND_POLLS_MAX
.busy:
	in	al, dx
	test	al, 1 << 5		; transmitter can take a byte
	loopz	.busy
	mov	edx, COM1
	mov	al, ah
	out	dx, al
	cmp	al, ' '
	jb	.next			; line ends mean nothing to the screen
	movzx	eax, al
	or	eax, VGA_ATTRIBUTE
	stosw
	jmp	.next
.done:
	mov	[PHYS(screen)], edi
	ret

; ------------------------------------------------------------------------------------------------ 64-bit

bits 64
default rel

enter_higher_half:			; still at the physical address
	mov	rax, higher_half
	jmp	rax
higher_half:
	mov	eax, DATA_SELECTOR
	mov	ss, eax
	mov	ds, eax
	mov	es, eax
	mov	fs, eax
	mov	gs, eax
	mov	rsp, boot_stack_top
	xor	ebp, ebp		; the outermost frame of every backtrace
	mov	edi, [loader_magic]
	mov	esi, [loader_information]
	call	kernel_main
.forever:
	cli
	hlt
	jmp	.forever

; ------------------------------------------------------------------------------------------------ constants

section .rodata.boot progbits alloc noexec nowrite align=8

CODE_SELECTOR    equ boot_gdt.code - boot_gdt
DATA_SELECTOR    equ boot_gdt.data - boot_gdt

; Only until arch_init_early() loads the real one: the pointer is physical and dies with the identity map.
boot_gdt:
	dq 0
.code:	dq 0x00af9b000000ffff		; 64-bit, ring 0, execute and read, accessed
.data:	dq 0x00cf93000000ffff		; flat, ring 0, read and write, accessed
boot_gdt_end:
boot_gdt_pointer:
	dw boot_gdt_end - boot_gdt - 1
	dd PHYS(boot_gdt)

; offset from COM1, value
serial_setup:
	db 1, 0x00			; no interrupts
	db 3, 0x80			; divisor latch
	db 0, 0x01			; 115200 / 1
	db 1, 0x00
	db 3, 0x03			; 8N1
	db 2, 0xc7			; FIFOs on and empty
	db 4, 0x03			; DTR, RTS
serial_setup_end:

	align 4, db 0
; byte offset into `features`, bit, name
demands:
	dd 0, 1 << 4, PHYS(text_tsc)
DEMAND_SIZE      equ $ - demands
	dd 0, 1 << 5, PHYS(text_msr)
	dd 0, 1 << 6, PHYS(text_pae)
	dd 4, 1 << 20, PHYS(text_nx)
	dd 4, 1 << 29, PHYS(text_long_mode)
demands_end:

text_no_multiboot2: db "octavo: not started by a multiboot2 loader", 0
text_no_cpuid:   db "octavo: this processor has no CPUID; octavo needs long mode and NX", 0
text_missing:    db "octavo: this processor lacks:", 0
text_tsc:        db " [time stamp counter]", 0
text_msr:        db " [model-specific registers]", 0
text_pae:        db " [PAE]", 0
text_nx:         db " [NX]", 0
text_long_mode:  db " [long mode]", 0
text_newline:    db 13, 10, 0

section .data.boot progbits alloc noexec write align=4
screen:          dd VGA_TEXT		; where the next character goes

; ------------------------------------------------------------------------------------------------ memory

section .bss.boot nobits alloc noexec write align=8

global boot_tsc
boot_tsc:           resq 1		; time stamp counter at entry
features:           resd 3		; EDX of CPUID leaves 1 and 0x80000001, ECX of leaf 7
loader_magic:       resd 1
loader_information: resd 1

section .bss.boot_tables nobits alloc noexec write align=4096

boot_pml5:          resb PAGE
boot_pml4:          resb PAGE
boot_pdpt_low:      resb PAGE
boot_pdpt_image:    resb PAGE
boot_directories:   resb PAGE * GIB_MAPPED

section .stacks nobits alloc noexec write align=4096

; Stacks grow down into a page that the final page tables leave unmapped.
%macro GUARDED_STACK 3			; guard, stack, bytes
global %1, %2, %2_top
%1:	resb PAGE
%2:	resb %3
%2_top:
%endmacro

	GUARDED_STACK boot_stack_guard, boot_stack, 32 << 10
	GUARDED_STACK ist_df_guard, ist_df_stack, 8 << 10
	GUARDED_STACK ist_nmi_guard, ist_nmi_stack, 8 << 10
	GUARDED_STACK ist_mc_guard, ist_mc_stack, 8 << 10
	GUARDED_STACK ist_db_guard, ist_db_stack, 8 << 10

section .note.GNU-stack progbits noalloc noexec nowrite
