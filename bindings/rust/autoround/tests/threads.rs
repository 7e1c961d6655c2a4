//! Which types cross threads: decided when this compiles.

use autoround::{Calibration, CancelToken, Context, Error, Model, Options, Recipe, RunResult, Session, State, Tensor};

fn send<T: Send>() {}
fn sync<T: Sync>() {}

/// Has one `check` for a type that is not `Sync`, and two, between which the compiler cannot choose, for one that is.
trait NotSync<Reason> {
    fn check() {}
}
impl<T> NotSync<()> for T {}
impl<T: Sync> NotSync<u8> for T {}

#[test]
fn handles_move_between_threads_and_are_not_shared() {
    macro_rules! handles {
        ($($handle:ty),*) => {$(
            send::<$handle>();
            <$handle as NotSync<_>>::check();
        )*};
    }
    handles!(Calibration, Context, Model, Options<'static>, Recipe, RunResult, Session<'static>, Tensor);
}

#[test]
fn tokens_and_values_go_anywhere() {
    send::<CancelToken>();
    sync::<CancelToken>();
    send::<Error>();
    sync::<Error>();
    sync::<State>();
}
