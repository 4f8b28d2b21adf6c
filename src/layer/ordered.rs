//! Work that is done on all threads and taken in order.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::mpsc::channel,
};

use crate::ground::work_until;

/// Makes something of each item on rayon's threads and hands the results to `take` in the order of
/// the items, on the calling thread. At most `window` results exist at a time. Ends with the first
/// error of `take`.
pub(super) fn in_order<T: Sync, R: Send, E>(
    items: &[T],
    window: usize,
    make: impl Fn(&T) -> R + Sync,
    mut take: impl FnMut(R) -> Result<(), E>,
) -> Result<(), E> {
    let make = &make;
    let (send, receive) = channel();
    // In place: `take` stays on this thread, which may be outside the pool and may block.
    rayon::in_place_scope_fifo(|scope| {
        let mut rest = items.iter().enumerate();
        let mut start = |count| {
            for (at, item) in rest.by_ref().take(count) {
                let send = send.clone();
                scope.spawn_fifo(move |_| {
                    let made = catch_unwind(AssertUnwindSafe(|| make(item)));
                    // Nobody listens any more after an error.
                    let _ = send.send((at, made));
                });
            }
        };
        start(window.max(1));
        let mut early = BTreeMap::new();
        for next in 0..items.len() {
            let made = loop {
                if let Some(made) = early.remove(&next) {
                    break made;
                }
                let (at, made) = work_until(&receive).expect("this function holds a sender");
                early.insert(at, made);
            };
            take(made.unwrap_or_else(|panic| resume_unwind(panic)))?;
            start(1);
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order_from_any_pool_inside_and_outside() {
        let items: Vec<usize> = (0..500).collect();
        let run = || {
            let mut got = Vec::new();
            let done: Result<(), ()> = in_order(
                &items,
                5,
                |item| item * 2,
                |double| {
                    got.push(double);
                    Ok(())
                },
            );
            done.unwrap();
            assert!(got.iter().enumerate().all(|(at, double)| *double == at * 2) && got.len() == 500);
        };
        run();
        for threads in [1, 2, 7] {
            rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(run);
        }
    }

    #[test]
    fn the_first_error_ends_it() {
        let items: Vec<usize> = (0..100).collect();
        let result = in_order(&items, 4, |item| *item, |item| if item == 7 { Err(item) } else { Ok(()) });
        assert_eq!(result, Err(7));
    }
}
