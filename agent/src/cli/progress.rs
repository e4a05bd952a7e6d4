//! A bar on standard error, on a terminal only.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;

/// Shows how far something is; nothing where nobody looks.
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// `what`: a word for what is counted. Bytes are shown as such.
    pub(super) fn new(what: &'static str) -> Self {
        let target = match std::io::stderr().is_terminal() {
            true => ProgressDrawTarget::stderr_with_hz(4),
            false => ProgressDrawTarget::hidden(),
        };
        let count =
            if what == "bytes" { "{bytes} of {total_bytes}" } else { "{human_pos} of {human_len} {msg}" };
        let style =
            ProgressStyle::with_template(&format!("{{bar:30}} {{percent:>3}} %  {count}  {{eta}} left"));
        let bar = ProgressBar::with_draw_target(None, target).with_message(what);
        Self(bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())))
    }

    /// From now on this is counted.
    pub(super) fn name(&self, what: String) {
        self.0.set_message(what);
    }

    /// So much is done, of so much.
    pub(super) fn show(&self, done: u64, of: u64) {
        self.0.set_length(of);
        self.0.set_position(done);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
