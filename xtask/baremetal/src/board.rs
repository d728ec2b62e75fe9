//! What an operating system would give: the vector table, the way out, text, a heap, the panic handler.
//!
//! Why `unsafe`: there is nothing below. Nothing of it is shipped.

use core::alloc::{GlobalAlloc, Layout};
use core::arch::asm;
use core::cell::UnsafeCell;
use core::panic::PanicInfo;
use core::ptr::null_mut;

use crate::seeds;

/// Semihosting: calls of the program that the emulator serves.
const WRITE: u32 = 0x04;
const EXIT: u32 = 0x18;
/// The program has ended as it should.
const ENDED: u32 = 0x2_0026;
/// It has not.
const FAILED: u32 = 0x2_0023;

/// After the address of the stack, which the link script gives: where the processor begins.
#[unsafe(link_section = ".vectors")]
#[used]
static RESET: extern "C" fn() -> ! = start;

#[unsafe(no_mangle)]
extern "C" fn start() -> ! {
    let is_sound = seeds::run(seeds::FIRST, print);
    exit(if is_sound { ENDED } else { FAILED })
}

fn call(number: u32, argument: u32) {
    // SAFETY: the emulator reads what `argument` names and changes the first register only.
    unsafe { asm!("bkpt #0xab", inout("r0") number => _, in("r1") argument, options(nostack)) }
}

fn print(text: &str) {
    // The emulator wants a zero at the end.
    for chunk in text.as_bytes().chunks(63) {
        let mut bytes = [0; 64];
        bytes[..chunk.len()].copy_from_slice(chunk);
        call(WRITE, bytes.as_ptr() as u32);
    }
}

fn exit(status: u32) -> ! {
    call(EXIT, status);
    loop {}
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    print("panic: ");
    print(info.message().as_str().unwrap_or("with a message"));
    print("\n");
    exit(FAILED)
}

/// A heap for what the simulator itself keeps: blocks of powers of two; what is given back is used again.
struct Heap(UnsafeCell<State>);

struct State {
    /// Where the part begins that was never used.
    next: usize,
    /// For each size the block that was given back last; it holds the address of the one before.
    free: [usize; CLASSES],
}

const CLASSES: usize = 25;
/// Every block can hold an address, and anything aligned to 8.
const CLASS_LEAST: usize = 3;

#[global_allocator]
static HEAP: Heap = Heap(UnsafeCell::new(State { next: 0, free: [0; CLASSES] }));

// SAFETY: there is one thread, and no interrupt.
unsafe impl Sync for Heap {}

unsafe extern "C" {
    static heap_start: u8;
    static heap_end: u8;
}

fn class_of(layout: Layout) -> usize {
    let len = layout.size().max(layout.align()).max(1 << CLASS_LEAST).next_power_of_two();
    len.trailing_zeros() as usize
}

// SAFETY: a block is as long as its class says, lies in the heap at a multiple of its length, and belongs to one caller
// until it is given back.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let class = class_of(layout);
        if class >= CLASSES {
            return null_mut();
        }
        // SAFETY: there is one thread, and no call of the heap within another.
        let state = unsafe { &mut *self.0.get() };
        if let block @ 1.. = state.free[class] {
            // SAFETY: a block that was given back holds an address, or 0.
            state.free[class] = unsafe { (block as *const usize).read() };
            return block as *mut u8;
        }
        let (begin, end) = ((&raw const heap_start) as usize, (&raw const heap_end) as usize);
        let len = 1_usize << class;
        let block = state.next.max(begin).next_multiple_of(len);
        if block + len > end {
            return null_mut();
        }
        state.next = block + len;
        block as *mut u8
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let class = class_of(layout);
        // SAFETY: as above; the block is long enough and aligned for an address.
        unsafe {
            let state = &mut *self.0.get();
            block.cast::<usize>().write(state.free[class]);
            state.free[class] = block as usize;
        }
    }
}
