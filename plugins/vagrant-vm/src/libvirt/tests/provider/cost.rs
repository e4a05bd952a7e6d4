//! What a poll costs: run with `--ignored --nocapture`, optimised.

use super::*;
use crate::libvirt::tests::real::own_cpu;

#[test]
#[ignore = "measures"]
fn prints_what_a_poll_costs() {
    for count in [2, 20, 200] {
        let mut lab = Lab::with(count);
        lab.readings();
        let rounds = 50;
        let (start, cpu) = (Instant::now(), own_cpu());
        for _ in 0..rounds {
            let (answers, _) = lab.poll();
            assert!(answers.iter().all(|answer| reading(answer).state == State::Running));
        }
        println!(
            "{count} machines: {:?} cpu, {:?} wall a poll",
            (own_cpu() - cpu) / rounds,
            start.elapsed() / rounds
        );
    }
}
