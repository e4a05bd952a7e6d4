//! What the threads of a crew are like, and those of its owner.

use super::*;

/// Needs more of its stack than small ones have: the array, and unoptimized a copy or two of it.
struct Deep(usize);

impl Task for Deep {
    fn work(&mut self) {
        let bytes = std::hint::black_box([1_u8; 512 << 10]);
        self.0 = bytes.iter().map(|byte| usize::from(*byte)).sum();
    }
}

#[test]
fn a_task_has_the_stack_of_a_usual_thread() {
    let crew = Crew::new("test-crew", TIMING);
    let at = crew.add(Deep(0));
    crew.round(soon(60_000), |_| true).unwrap();
    assert_eq!(crew.with(at, |deep| deep.0), Some(512 << 10));
}
