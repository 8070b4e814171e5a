//! The contract, on smol and on async-std.

use std::future::Future;
use std::sync::Arc;

use sanspeer_smol::{AsyncStd, Smol};

fn on_one<F: Future<Output = ()>>(case: impl FnOnce(Smol) -> F) {
    smol::block_on(case(Smol::global()));
}

fn on_many<F: Future<Output = ()>>(case: impl FnOnce(Smol) -> F) {
    let executor = Arc::new(smol::Executor::new());
    let (stop, stopped) = smol::channel::bounded::<()>(1);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            // Ends when the sender is dropped, also by a panic.
            scope.spawn(|| smol::block_on(executor.run(stopped.recv())));
        }
        let _stop = stop;
        smol::block_on(case(Smol::on(Arc::clone(&executor))));
    });
}

fn on_async_std<F: Future<Output = ()>>(case: impl FnOnce(AsyncStd) -> F) {
    async_std::task::block_on(case(AsyncStd::new()));
}

mod smol_on_one_thread {
    use super::on_one;
    sanspeer_conformance::contract!(on_one);
}

mod smol_on_two_threads {
    use super::on_many;
    sanspeer_conformance::contract!(on_many);
}

mod async_std_itself {
    use super::on_async_std;
    sanspeer_conformance::contract!(on_async_std);
}
