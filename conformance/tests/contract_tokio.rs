//! The contract, on tokio.

mod runtimes;

mod on_many_threads {
    use super::runtimes::on_tokio;
    sanspeer_conformance::contract!(on_tokio);
}

mod on_one_thread {
    use super::runtimes::on_one_thread_of_tokio;
    sanspeer_conformance::contract!(on_one_thread_of_tokio);
}
