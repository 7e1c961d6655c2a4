//! A bound on the memory of untrusted work. A template can double a string forty times within a few hundred steps,
//! and stable Rust offers no way to let an allocation fail without ending the process. So such work runs on a thread
//! of its own, and the allocation that would pass its budget never returns: the thread sleeps for good, and its
//! caller gets an error at once.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use crate::panic_message;

/// Addresses, not memory: pages are taken as they are used. The template engine recurses without a limit of its own
/// in places (`elif` after `elif`, the destructor of nested lists), to a depth that template size and memory budget
/// bound.
const STACK_BYTES: usize = 1 << 30;
/// Sleeping threads, with their memory, that this process puts up with.
const MAX_STOPPED: usize = 8;
static STOPPED: AtomicUsize = AtomicUsize::new(0);

#[derive(Clone, Copy, PartialEq)]
enum Stage {
    Running,
    Finished,
    OverBudget,
}

#[derive(Default)]
struct Report {
    stage: Mutex<Option<Stage>>,
    changed: Condvar,
}

impl Report {
    fn set(&self, stage: Stage) {
        *self.stage.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(stage);
        self.changed.notify_all();
    }

    fn wait(&self) -> Stage {
        let mut stage = self.stage.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        loop {
            match *stage {
                Some(end) if end != Stage::Running => return end,
                _ => stage = self.changed.wait(stage).unwrap_or_else(|poisoned| poisoned.into_inner()),
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Meter {
    left: usize,
    report: *const Report,
}

thread_local! {
    // Constant and without a destructor: reading it never allocates.
    static METER: Cell<Option<Meter>> = const { Cell::new(None) };
}

/// Runs `work` with at most `bytes` of Rust heap. Its result is dropped by the caller, outside the budget.
pub fn run_bounded<T: Send + 'static>(
    bytes: usize,
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    if STOPPED.load(Ordering::Relaxed) >= MAX_STOPPED {
        return Err(format!(
            "{MAX_STOPPED} runs were stopped for the memory they asked for; this process starts no more"
        ));
    }
    let report = Arc::new(Report::default());
    let reporter = Arc::clone(&report);
    let thread = std::thread::Builder::new()
        .stack_size(STACK_BYTES)
        .spawn(move || {
            METER.set(Some(Meter { left: bytes, report: Arc::as_ptr(&reporter) }));
            let result = catch_unwind(AssertUnwindSafe(work));
            METER.set(None);
            reporter.set(Stage::Finished);
            result.unwrap_or_else(|panic| Err(panic_message(panic.as_ref())))
        })
        .map_err(|e| format!("cannot start a thread: {e}"))?;

    match report.wait() {
        Stage::OverBudget => Err(format!("it asked for more than {} MiB of memory", bytes >> 20)),
        _ => thread.join().unwrap_or_else(|panic| Err(panic_message(panic.as_ref()))),
    }
}

/// The system's allocator, counting for threads that have a meter.
pub struct Metered;

impl Metered {
    fn charge(bytes: usize) {
        if let Some(meter) = METER.get() {
            if bytes > meter.left {
                Self::stop_here(meter.report);
            }
            METER.set(Some(Meter { left: meter.left - bytes, ..meter }));
        }
    }

    fn refund(bytes: usize) {
        if let Some(meter) = METER.get() {
            METER.set(Some(Meter { left: meter.left.saturating_add(bytes), ..meter }));
        }
    }

    fn stop_here(report: *const Report) -> ! {
        METER.set(None);
        STOPPED.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the thread's closure, which never ends now, owns the report.
        unsafe { (*report).set(Stage::OverBudget) };
        loop {
            std::thread::sleep(Duration::MAX);
        }
    }
}

// SAFETY: all memory is System's; the counting does not allocate and does not unwind.
unsafe impl GlobalAlloc for Metered {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::charge(layout.size());
        System.alloc(layout)
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        Self::charge(layout.size());
        System.alloc_zeroed(layout)
    }

    unsafe fn realloc(&self, data: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        Self::charge(new_size.saturating_sub(layout.size()));
        Self::refund(layout.size().saturating_sub(new_size));
        System.realloc(data, layout, new_size)
    }

    unsafe fn dealloc(&self, data: *mut u8, layout: Layout) {
        Self::refund(layout.size());
        System.dealloc(data, layout);
    }
}
