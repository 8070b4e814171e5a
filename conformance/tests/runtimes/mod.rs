//! The runtimes that there are a driver for, each run to the end of one future.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

use std::future::Future;
use std::sync::Arc;

use sanspeer_smol::{AsyncStd, Smol};
use sanspeer_tokio::Tokio;

pub fn on_tokio<F: Future<Output = ()>>(case: impl FnOnce(Tokio) -> F) {
    run_tokio(tokio::runtime::Builder::new_multi_thread().worker_threads(2), case);
}

pub fn on_one_thread_of_tokio<F: Future<Output = ()>>(case: impl FnOnce(Tokio) -> F) {
    run_tokio(&mut tokio::runtime::Builder::new_current_thread(), case);
}

fn run_tokio<F: Future<Output = ()>>(
    builder: &mut tokio::runtime::Builder,
    case: impl FnOnce(Tokio) -> F,
) {
    let runtime = builder.enable_all().build().expect("a runtime");
    runtime.block_on(async { case(Tokio::current()).await });
}

pub fn on_one_thread_of_smol<F: Future<Output = ()>>(case: impl FnOnce(Smol) -> F) {
    smol::block_on(case(Smol::global()));
}

pub fn on_smol<F: Future<Output = ()>>(case: impl FnOnce(Smol) -> F) {
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

pub fn on_async_std<F: Future<Output = ()>>(case: impl FnOnce(AsyncStd) -> F) {
    async_std::task::block_on(case(AsyncStd::new()));
}
