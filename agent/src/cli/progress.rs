//! A progress bar on the terminal; nothing where standard error is none.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar that counts things of this kind: `pages`, `rows`.
pub(super) fn bar(what: &str) -> ProgressBar {
    let bar = ProgressBar::new(0);
    // a template of ours is sound; else the bar looks plain
    if let Ok(style) =
        ProgressStyle::with_template("{bar:40} {percent:>3} %  {human_pos} of {human_len} {msg}  {eta}")
    {
        bar.set_style(style);
    }
    bar.set_message(what.to_owned());
    bar
}
