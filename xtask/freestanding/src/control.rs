//! Negative controls: each feature brings in something that must keep the program from being built.
//!
//! `control-core-alloc` has no code here: it turns on the core's own feature `alloc`.

#[cfg(feature = "control-alloc")]
extern crate alloc;

#[cfg(feature = "control-std")]
extern crate std;

/// Uses what the chosen control brought in. Without one it does nothing.
pub(crate) fn run() {
    #[cfg(feature = "control-alloc")]
    core::hint::black_box(alloc::boxed::Box::new(1_u8));

    #[cfg(feature = "control-std")]
    core::hint::black_box(std::time::Instant::now());

    #[cfg(feature = "control-libc")]
    {
        unsafe extern "C" {
            fn malloc(size: usize) -> *mut u8;
        }
        // SAFETY: never runs, the program does not link.
        core::hint::black_box(unsafe { malloc(1) });
    }
}
