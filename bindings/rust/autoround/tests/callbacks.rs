//! Closures of the host: what they are told, how they stop a run, and that a panic goes on where it should.

mod scene;

use std::collections::HashMap;
use std::ops::ControlFlow::{Break, Continue};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use autoround::{CancelToken, Code, Context, Events, LogLevel, Model, Options, Session, State, oneshot};
use scene::Scene;

/// The text of the panic that `closure` ends with.
fn panic_of<R>(closure: impl FnOnce() -> R) -> String {
    let panic = catch_unwind(AssertUnwindSafe(closure)).err().expect("a panic");
    panic.downcast_ref::<&str>().expect("a text").to_string()
}

#[test]
fn progress_count() {
    let scene = Scene::new(4);
    let (mut kinds, mut fractions, mut ends) = (HashMap::new(), Vec::new(), Vec::new());
    let mut options = Options::new().unwrap();
    let all = Events::PROGRESS | Events::BLOCK_BEGIN | Events::BLOCK_INPUTS | Events::ITERATION | Events::BLOCK_END;
    options
        .set_callback(all, |event| {
            *kinds.entry(event.kind()).or_insert(0) += 1;
            fractions.push(event.fraction());
            if event.kind() == Events::BLOCK_END {
                assert!(event.loss().is_some());
                ends.push((event.block(), event.name().to_owned()));
            }
            Continue(())
        })
        .unwrap();
    scene.oneshot(options).unwrap();
    let expected = [
        (Events::PROGRESS, 2),
        (Events::BLOCK_BEGIN, 2),
        (Events::BLOCK_INPUTS, 2),
        (Events::ITERATION, 8),
        (Events::BLOCK_END, 2),
    ];
    assert_eq!(kinds, HashMap::from(expected));
    assert!(fractions.is_sorted() && fractions.last() == Some(&1.0), "{fractions:?}");
    assert_eq!(ends, [(Some(0), "model.layers.0".to_owned()), (Some(1), "model.layers.1".to_owned())]);
}

#[test]
fn captured_inputs_may_be_kept_and_do_not_change() {
    let scene = Scene::new(2);
    let mut kept = Vec::new();
    let mut options = Options::new().unwrap();
    options
        .set_callback(Events::BLOCK_INPUTS, |event| {
            for index in 0..event.input_count() {
                let input = event.input(index).unwrap();
                kept.push((input.bytes().unwrap().to_vec(), input));
            }
            assert_eq!(event.input(2).unwrap_err().code(), Code::InvalidArgument);
            Continue(())
        })
        .unwrap();
    scene.oneshot(options).unwrap();
    assert_eq!(kept.len(), 4);
    for (bytes, input) in kept {
        assert_eq!(input.shape(), [8, scene::WINDOW, 64]);
        assert!(input.bytes() == Some(&bytes[..]), "the run wrote into a tensor that it had shown");
    }
}

#[test]
fn break_stops_the_run() {
    let scene = Scene::new(50);
    let (mut options, _) = scene.writing_to("out");
    let mut calls = 0;
    let stop_at_third = |_: &_| {
        calls += 1;
        if calls == 3 { Break(()) } else { Continue(()) }
    };
    options.set_callback(Events::ITERATION, stop_at_third).unwrap();
    assert_eq!(scene.oneshot(options).unwrap_err().code(), Code::Cancelled);
    assert_eq!(calls, 3);
    assert!(scene.siblings().is_empty());
}

#[test]
fn cancel_from_callback() {
    let scene = Scene::new(50);
    let token = CancelToken::new();
    let mut calls = 0;
    let mut options = Options::new().unwrap();
    let request_at_seventh = |_: &_| {
        calls += 1;
        if calls == 7 {
            token.request();
        }
        Continue(())
    };
    options.set_cancel(&token).unwrap().set_callback(Events::ITERATION, request_at_seventh).unwrap();
    assert_eq!(scene.oneshot(options).unwrap_err().code(), Code::Cancelled);
    assert_eq!(calls, 7);
    assert!(token.clone().is_requested());

    let mut options = Options::new().unwrap();
    options.set_cancel(&token).unwrap();
    assert_eq!(scene.oneshot(options).unwrap_err().code(), Code::Cancelled);
    scene.oneshot(Options::new().unwrap()).unwrap(); // the model is as good as before
}

#[test]
fn a_token_stops_from_another_thread() {
    let scene = Scene::new(100_000);
    let token = CancelToken::new();
    let (mut options, _) = scene.writing_to("out");
    options.set_cancel(&token).unwrap();
    std::thread::scope(|threads| {
        threads.spawn(|| {
            std::thread::sleep(Duration::from_millis(300));
            token.request();
        });
        assert_eq!(scene.oneshot(options).unwrap_err().code(), Code::Cancelled);
    });
    assert!(scene.siblings().is_empty());
}

#[test]
fn exception_in_callback() {
    let scene = Scene::new(50);
    let (mut options, _) = scene.writing_to("out");
    options.set_callback(Events::ITERATION, |_| panic!("not this one")).unwrap();
    assert_eq!(panic_of(|| scene.oneshot(options)), "not this one");
    assert!(scene.siblings().is_empty());
    Scene::new(1).oneshot(Options::new().unwrap()).unwrap(); // this thread is as good as before
}

#[test]
fn a_panic_in_a_step_leaves_a_failed_session() {
    let scene = Scene::new(50);
    let mut options = Options::new().unwrap();
    options.set_callback(Events::ITERATION, |_| panic!("mid-block")).unwrap();
    let mut session: Session<'_> = scene.session(options);
    session.initialize().unwrap();
    session.start().unwrap();
    session.next_block().unwrap();
    assert_eq!(panic_of(|| session.sequential_epoch_end()), "mid-block");
    assert_eq!(session.state(), State::Failed);
}

#[test]
fn a_panic_of_a_run_inside_a_callback_goes_through_both() {
    let (outer, inner) = (Scene::new(2), Scene::new(2));
    let inner = Mutex::new(inner);
    let mut options = Options::new().unwrap();
    options
        .set_callback(Events::BLOCK_BEGIN, |_| {
            let mut options = Options::new().unwrap();
            options.set_callback(Events::BLOCK_END, |_| panic!("from within")).unwrap();
            inner.lock().unwrap().oneshot(options).unwrap();
            unreachable!("the panic went past this line")
        })
        .unwrap();
    assert_eq!(panic_of(|| outer.oneshot(options)), "from within");
}

/// Counts how often what a closure holds has been dropped.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn closures_are_dropped_once_and_not_before_their_run() {
    let scene = Scene::new(1);
    let drops = Arc::new(AtomicUsize::new(0));
    let counting = |options: &mut Options<'_>, events| {
        let held = Counted(drops.clone());
        let callback = move |_: &_| {
            let _ = &held;
            Continue(())
        };
        options.set_callback(events, callback).map(drop)
    };
    let count = || drops.load(Ordering::Relaxed);

    let mut options = Options::new().unwrap();
    assert_eq!(counting(&mut options, Events::from_bits(1 << 20)).unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(count(), 1);
    counting(&mut options, Events::BLOCK_END).unwrap();
    counting(&mut options, Events::BLOCK_END).unwrap(); // replaces
    assert_eq!(count(), 2);
    let session = scene.session(options);
    assert_eq!(count(), 2);
    drop(session);
    assert_eq!(count(), 3);

    let mut options = Options::new().unwrap();
    counting(&mut options, Events::BLOCK_END).unwrap();
    let result = scene.oneshot(options).unwrap();
    assert_eq!(count(), 4); // while the result is alive
    drop(result);
}

#[test]
fn log_lines_reach_the_sink_until_nobody_uses_it() {
    let scene = Scene::new(1);
    let lines = Arc::new(Mutex::new(Vec::new()));
    let sink = lines.clone();
    let mut context = Context::new().unwrap();
    context.set_log(LogLevel::Info, move |level, line| sink.lock().unwrap().push((level, line.to_owned()))).unwrap();
    let model = Model::open_in(&context, scene.toy.model()).unwrap();
    context.silence().unwrap();
    oneshot(&model, &scene.recipe, &scene.data, Options::new().unwrap()).unwrap();
    assert!(
        lines.lock().unwrap().iter().any(|(level, line)| *level == LogLevel::Info && line.contains("8 of 8 samples"))
    );
    drop((model, context));
    assert_eq!(Arc::strong_count(&lines), 1);
}

#[test]
fn a_panic_in_a_log_sink_goes_on_too() {
    let scene = Scene::new(1);
    let mut context = Context::new().unwrap();
    context.set_log(LogLevel::Trace, |_, _| panic!("full disk")).unwrap();
    let run = || {
        let model = Model::open_in(&context, scene.toy.model()).unwrap();
        oneshot(&model, &scene.recipe, &scene.data, Options::new().unwrap())
    };
    assert_eq!(panic_of(run), "full disk");
}

#[test]
fn perplexity_tells_of_its_layers_and_can_be_stopped() {
    let scene = Scene::new(0);
    let mut calls = 0;
    let mut options = Options::new().unwrap();
    let count = |_: &_| {
        calls += 1;
        Continue(())
    };
    options.set_callback(Events::PROGRESS, count).unwrap();
    let value = scene.model.perplexity(&scene.data, options).unwrap();
    assert!(value.is_finite() && value > 1.0, "{value}");
    assert!(calls >= 2, "{calls}");

    let mut options = Options::new().unwrap();
    options.set_callback(Events::PROGRESS, |_| Break(())).unwrap();
    assert_eq!(scene.model.perplexity(&scene.data, options).unwrap_err().code(), Code::Cancelled);
}
