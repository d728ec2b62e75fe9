//! The suite that every adapter has to pass, on both of tokio's runtimes, and what is about tokio alone.

#[cfg(test)]
mod on_one_thread {
    use core::future::Future;

    use lockmaster_async::conformance::yields_to_its_sockets;
    use lockmaster_tokio::TokioRuntime;
    use tokio::runtime::Builder;

    fn run<F: Future<Output = ()>>(case: impl FnOnce(TokioRuntime) -> F) {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(case(TokioRuntime));
    }

    lockmaster_async::conformance!(run);

    #[test]
    fn who_yields_lets_the_driver_look() {
        run(|runtime| yields_to_its_sockets(runtime, 3));
    }
}

#[cfg(test)]
mod on_two_threads {
    use core::future::Future;

    use lockmaster_tokio::TokioRuntime;
    use tokio::runtime::Builder;

    fn run<F: Future<Output = ()>>(case: impl FnOnce(TokioRuntime) -> F) {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(case(TokioRuntime));
    }

    lockmaster_async::conformance!(run);

    /// Nodes of several machines.
    mod with_three_machines {
        use super::run;

        lockmaster_async::conformance!(run, 3);
    }
}

#[cfg(test)]
mod runtimes;
