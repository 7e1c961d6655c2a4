//! A thousand runs leave nothing. One test, because it looks at the whole process.

mod scene;

use std::fs;

use autoround::{Options, live_handles};
use scene::Scene;

fn resident_kib() -> usize {
    let pages = fs::read_to_string("/proc/self/statm").expect("a Linux machine");
    pages.split(' ').nth(1).and_then(|field| field.parse::<usize>().ok()).expect("a number") * 4
}

fn entries(directory: &str) -> usize {
    fs::read_dir(directory).unwrap().count()
}

/// Open, quantize, close.
fn round() {
    Scene::new(1).oneshot(Options::new().unwrap()).unwrap();
}

#[test]
fn rounds_are_steady() {
    (0..50).for_each(|_| round());
    let (before, threads, descriptors) = (resident_kib(), entries("/proc/self/task"), entries("/proc/self/fd"));
    (50..1000).for_each(|_| round());
    let after = resident_kib();
    println!("resident KiB after 50 rounds: {before}, after 1,000: {after}");
    assert!(after * 100 < before * 101, "{before} KiB, then {after}");
    assert_eq!((entries("/proc/self/task"), entries("/proc/self/fd")), (threads, descriptors));
    assert_eq!(live_handles(None), 0);
}
