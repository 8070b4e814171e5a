//! The contract, on smol and on async-std.

mod runtimes;

mod smol_on_one_thread {
    use super::runtimes::on_one_thread_of_smol;
    sanspeer_conformance::contract!(on_one_thread_of_smol);
}

mod smol_on_two_threads {
    use super::runtimes::on_smol;
    sanspeer_conformance::contract!(on_smol);
}

mod async_std_itself {
    use super::runtimes::on_async_std;
    sanspeer_conformance::contract!(on_async_std);
}
