//! The ways in which the agent can run a plugin: a test that holds for one must hold for all.

use crate::{Home, config};
use std::io::Write;

/// The modes that this agent's configuration accepts; the others are told.
pub fn modes() -> Vec<&'static str> {
    let known = |mode: &&str| {
        let table = format!("[plugins.any]\nenabled = false\nmode = \"{mode}\"\n");
        let home = Home::new(&config("1s", &[], &table));
        let checked = home.end(&mut home.command("check"));
        let refused = format!("{}{}", checked.out, checked.err).contains("plugins.any.mode: ");
        if refused {
            let _ = writeln!(
                std::io::stderr(),
                "skipped: mode \"{mode}\", this agent's configuration refuses it"
            );
        }
        !refused
    };
    ["in_process", "isolated"].into_iter().filter(known).collect()
}
