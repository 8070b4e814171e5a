//! The contract, on tokio.

use std::future::Future;

use sanspeer_tokio::Tokio;

fn multi_thread<F: Future<Output = ()>>(case: impl FnOnce(Tokio) -> F) {
    run(tokio::runtime::Builder::new_multi_thread().worker_threads(2), case);
}

fn current_thread<F: Future<Output = ()>>(case: impl FnOnce(Tokio) -> F) {
    run(&mut tokio::runtime::Builder::new_current_thread(), case);
}

fn run<F: Future<Output = ()>>(
    builder: &mut tokio::runtime::Builder,
    case: impl FnOnce(Tokio) -> F,
) {
    let runtime = builder.enable_all().build().expect("a runtime");
    runtime.block_on(async { case(Tokio::current()).await });
}

mod on_many_threads {
    use super::multi_thread;
    sanspeer_conformance::contract!(multi_thread);
}

mod on_one_thread {
    use super::current_thread;
    sanspeer_conformance::contract!(current_thread);
}
