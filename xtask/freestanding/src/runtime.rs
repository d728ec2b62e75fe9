//! What `std` and a libc would give: the entry point, the way out, the console, the panic handler, something that is
//! taken once, and the memory functions.
//!
//! Why `unsafe`: a program with nothing below it has to speak to the kernel itself and to define the symbols that
//! the compiler calls without being asked. Nothing of it is shipped.

use core::arch::{asm, global_asm};
use core::cell::UnsafeCell;
use core::fmt::{self, Write};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};

/// Exit status after a panic, as with `std`.
const PANICKED: u8 = 101;

// The kernel jumps to `_start` with no return address on the stack, which a function cannot describe.
#[cfg(target_arch = "x86_64")]
global_asm!(".globl _start", "_start:", "xor ebp, ebp", "and rsp, -16", "call {start}", "ud2", start = sym start);
#[cfg(target_arch = "aarch64")]
global_asm!(".globl _start", "_start:", "mov x29, xzr", "bl {start}", "brk #1", start = sym start);

extern "C" fn start() -> ! {
    exit(crate::run())
}

fn exit(status: u8) -> ! {
    // SAFETY: `exit` of the Linux kernel takes a number and does not come back.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        asm!("syscall", in("rax") 60, in("rdi") u64::from(status), options(noreturn, nostack))
    }
    // SAFETY: as above.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        asm!("svc #0", in("x8") 93, in("x0") u64::from(status), options(noreturn, nostack))
    }
}

/// The standard output.
pub(crate) struct Console;

impl Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut left = text.as_bytes();
        while !left.is_empty() {
            let written = usize::try_from(write(left)).map_err(|_| fmt::Error)?;
            left = left.get(written..).ok_or(fmt::Error)?;
        }
        Ok(())
    }
}

/// How much was written, or a negative number.
fn write(bytes: &[u8]) -> isize {
    let written: isize;
    // SAFETY: `write` of the Linux kernel reads these bytes and changes no memory.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        asm!(
            "syscall", inlateout("rax") 1_isize => written, in("rdi") 1, in("rsi") bytes.as_ptr(),
            in("rdx") bytes.len(), lateout("rcx") _, lateout("r11") _, options(nostack, readonly)
        );
    }
    // SAFETY: as above.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        asm!(
            "svc #0", in("x8") 64, inlateout("x0") 1_isize => written, in("x1") bytes.as_ptr(),
            in("x2") bytes.len(), options(nostack, readonly)
        );
    }
    written
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    // There is nobody to tell if it fails.
    let _ = writeln!(Console, "{info}");
    exit(PANICKED)
}

/// Something in a `static` that is lent once.
pub(crate) struct Taken<T> {
    value: UnsafeCell<T>,
    is_taken: AtomicBool,
}

// SAFETY: only one caller is ever given the value.
unsafe impl<T: Send> Sync for Taken<T> {}

impl<T> Taken<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self { value: UnsafeCell::new(value), is_taken: AtomicBool::new(false) }
    }

    /// Lends the value to who asks first.
    pub(crate) fn lend<R>(&self, borrow: impl FnOnce(&mut T) -> R) -> Option<R> {
        // SAFETY: nobody else has been lent the value, or will be.
        (!self.is_taken.swap(true, Ordering::AcqRel)).then(|| borrow(unsafe { &mut *self.value.get() }))
    }
}

// Bytes are read and written as volatile: the compiler would turn a plain loop into a call of the very function
// that holds it.

/// As in C.
///
/// # Safety
/// As in C.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    for at in 0..len {
        // SAFETY: the caller vouches for `len` bytes on both sides.
        unsafe { to.add(at).write_volatile(from.add(at).read_volatile()) };
    }
    to
}

/// As in C.
///
/// # Safety
/// As in C.
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    if to.cast_const() <= from {
        // SAFETY: upwards, each byte is read before it is overwritten.
        return unsafe { memcpy(to, from, len) };
    }
    for at in (0..len).rev() {
        // SAFETY: the caller vouches for `len` bytes on both sides; downwards, each is read before it is overwritten.
        unsafe { to.add(at).write_volatile(from.add(at).read_volatile()) };
    }
    to
}

/// As in C.
///
/// # Safety
/// As in C.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, byte: i32, len: usize) -> *mut u8 {
    for at in 0..len {
        // SAFETY: the caller vouches for `len` bytes.
        unsafe { to.add(at).write_volatile(byte.to_le_bytes()[0]) };
    }
    to
}

/// As in C.
///
/// # Safety
/// As in C.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(left: *const u8, right: *const u8, len: usize) -> i32 {
    for at in 0..len {
        // SAFETY: the caller vouches for `len` bytes on both sides.
        let (left, right) = unsafe { (left.add(at).read_volatile(), right.add(at).read_volatile()) };
        if left != right {
            return i32::from(left) - i32::from(right);
        }
    }
    0
}

/// As in C.
///
/// # Safety
/// As in C.
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(left: *const u8, right: *const u8, len: usize) -> i32 {
    // SAFETY: the same contract.
    unsafe { memcmp(left, right, len) }
}
