//! The commands that change something in the running agent.

use super::*;
use std::{io::ErrorKind, net::TcpListener};
use twarga_tests::{Ended, USER_TOKEN};

/// Runs a command line that asks this agent: `plugins disable synthetic`.
fn ask(agent: &Agent, line: &str) -> Ended {
    let (subcommand, rest) = line.split_once(' ').unwrap_or((line, ""));
    let home = agent.home();
    let address = agent.address().to_string();
    home.end(home.command(subcommand).args(rest.split_whitespace()).args(["--agent", &address]))
}

/// What it prints where it succeeds.
fn done(agent: &Agent, line: &str) -> String {
    let ended = ask(agent, line);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{line}: {ended:?}");
    ended.out
}

/// What it says where it fails.
fn fails(ended: &Ended) -> &str {
    assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""), "{ended:?}");
    &ended.err
}

#[test]
fn a_plugin_is_switched() {
    let home = Home::new(&format!("{CONFIG}interval = \"1h\"\n")).plugin("synthetic").plugin("host-mem");
    let mut agent = home.start();
    agent.until_ready();
    let lasts = "until its table in the configuration changes, or the agent ends";
    assert_eq!(done(&agent, "plugins disable synthetic"), format!("synthetic: disabled, {lasts}\n"));
    assert_eq!(plugin(&agent, "synthetic")["state"], "disabled");
    let restart = ask(&agent, "plugins restart synthetic");
    assert_eq!(
        fails(&restart),
        "twarga-agent: synthetic: The plugin can't be restarted: it is disabled; enable it\n"
    );
    let collect = ask(&agent, "plugins collect synthetic");
    assert_eq!(fails(&collect), "twarga-agent: synthetic: The plugin is not running: disabled\n");
    assert_eq!(done(&agent, "plugins enable synthetic"), format!("synthetic: running, {lasts}\n"));
    collects_on(&mut agent, "synthetic", 2);
    // an hour between its ticks: what is collected, the command has asked for
    let before = collections(&agent, "host-mem");
    assert_eq!(done(&agent, "plugins collect host-mem"), "host-mem: collected\n");
    assert_eq!(collections(&agent, "host-mem"), before + 1);
    assert_eq!(plugin(&agent, "host-mem")["restarts"], 0);
    assert_eq!(done(&agent, "plugins restart host-mem"), "host-mem: running\n");
    agent.until(LIMIT, "its restart", |agent| (plugin(agent, "host-mem")["restarts"] == 1).then_some(()));
    agent.stop();
}

#[test]
fn a_plugin_that_can_not_collect() {
    let text = "[plugins.faulty]\nmode = \"in_process\"\nconfig = { mode = \"error_collect\" }\n";
    let home = Home::new(&format!("{CONFIG}{text}")).plugin("synthetic").plugin("host-mem").plugin("faulty");
    let agent = home.start();
    let ended = ask(&agent, "plugins collect faulty");
    let told = "twarga-agent: plugin faulty could not collect: ";
    assert!(fails(&ended).starts_with(told) && ended.err.contains("planned in collect"), "{ended:?}");
}

#[test]
fn a_plugin_that_nobody_knows() {
    let agent = Home::new(CONFIG).plugin("synthetic").plugin("host-mem").start();
    for word in ["enable", "disable", "restart", "collect"] {
        let near = ask(&agent, &format!("plugins {word} host_men"));
        assert_eq!(
            fails(&near),
            "twarga-agent: the agent has no plugin `host_men`; did you mean `host-mem`?\n",
            "{word}"
        );
    }
    let far = ask(&agent, "plugins restart ../../-/reload?a=%41");
    assert_eq!(
        fails(&far),
        "twarga-agent: the agent has no plugin `../../-/reload?a=%41`; there are host-mem, synthetic\n"
    );
}

#[test]
fn a_configuration_is_taken_up_or_refused() {
    let home = Home::new(CONFIG).plugin("synthetic").plugin("host-mem");
    let mut agent = home.start();
    agent.until_ready();
    assert_eq!(done(&agent, "reload"), "nothing changed\n");
    let slower = CONFIG.replace("[plugins.host-mem]", "[plugins.host-mem]\ninterval = \"400ms\"");
    home.write_config(&format!("{slower}[http]\ntimestamps = \"legacy\"\n"));
    assert_eq!(
        done(&agent, "reload"),
        "plugins changed: host-mem (interval)\nonly a restart takes: http.timestamps\n"
    );
    assert_eq!(plugin(&agent, "host-mem")["interval_seconds"], 0.4);

    // a wrong key, and a plugin without a file: as `check` tells them, and everything goes on
    home.write_config(&format!("{slower}intervall = \"1s\"\n[plugins.synthetik]\n"));
    let (refused, check) = (ask(&agent, "reload"), home.end(&mut home.command("check")));
    assert_eq!((refused.code, refused.out.as_str(), check.code), (Some(78), "", Some(78)), "{refused:?}");
    assert_eq!(refused.err, format!("{}twarga-agent: nothing was changed\n", check.err));
    let (key, file) = check.err.split_once('\n').unwrap();
    assert!(key.ends_with("plugins.host-mem.intervall: unknown key; did you mean `interval`?"), "{key}");
    // the name, the folders that were searched, what was probably meant
    let searched = [home.plugins(), home.path("bin")].map(|folder| folder.display().to_string()).join(", ");
    assert!(file.contains(&format!("plugins.synthetik: no plugin `synthetik` in {searched}")), "{file}");
    assert!(file.contains("did you mean `synthetic`?"), "{file}");
    collects_on(&mut agent, "synthetic", 2);
    // nor does it keep anybody from switching what runs
    done(&agent, "plugins disable host-mem");
    assert_eq!(plugin(&agent, "host-mem")["state"], "disabled");

    // where it is not even known where the agent is, `check`'s words alone
    home.write_config("[agent\n");
    let (refused, check) = (ask(&agent, "reload"), home.end(&mut home.command("check")));
    assert_eq!((refused.code, &refused.err), (Some(78), &check.err));
    agent.stop();
}

/// Reloads, with `config` as the table of `faulty`: what the command says of it.
fn reload_with(agent: &Agent, config: &str) -> Ended {
    agent.home().write_config(&format!("{CONFIG}[plugins.faulty]\n{config}\n"));
    ask(agent, "reload")
}

/// Why a plugin did not start, on standard error alone.
fn not_started(ended: &Ended, name: &str, changed: &str) -> String {
    assert_eq!((ended.code, ended.out.as_str()), (Some(3), changed), "{ended:?}");
    let end = format!("\ntwarga-agent: the configuration applies, but not all plugins started: {name}\n");
    let begin = format!("plugin {name} did not start: ");
    let reason = ended.err.strip_suffix(&end).and_then(|err| err.strip_prefix(&begin));
    reason.unwrap_or_else(|| panic!("{ended:?}")).to_owned()
}

#[test]
fn a_plugin_that_does_not_start_is_told() {
    let home = Home::new(CONFIG).plugin("synthetic").plugin("host-mem");
    let home = home.plugin("faulty").plugin("wrong-layout");
    let mut agent = home.start();
    agent.until_ready();
    let changed = "plugins changed: faulty (config)\n";
    // no collector can be made
    let ended = reload_with(&agent, "config = { mode = \"error_new\" }");
    assert_eq!(not_started(&ended, "faulty", "plugins started: faulty\n"), "planned in new");
    // nor ever will be: told by each reload until it is mended
    let ended = reload_with(&agent, "config = { mode = \"config_error\" }");
    let reason = not_started(&ended, "faulty", changed);
    assert!(reason.contains("plugins.faulty.config.mode: planned in new"), "{reason}");
    assert_eq!(not_started(&ask(&agent, "reload"), "faulty", "nothing changed\n"), reason);
    assert_eq!(reload(&agent)["plugins"]["failed"], serde_json::json!({ "faulty": reason }));
    // its first collection fails
    let ended = reload_with(&agent, "config = { mode = \"panic_collect\" }");
    assert!(not_started(&ended, "faulty", changed).contains("planned in collect"), "{ended:?}");
    // it is not even loaded, which the answer's warnings tell too
    home.write_config(&format!("{CONFIG}[plugins.wrong-layout]\nmode = \"in_process\"\n"));
    let ended = ask(&agent, "reload");
    let changed = "plugins started: wrong-layout\nplugins stopped: faulty\n";
    let reason = not_started(&ended, "wrong-layout", changed);
    assert!(reason.contains("its plugin API differs from the agent's"), "{reason}");
    let (told, refused) = (reload(&agent), plugin(&agent, "wrong-layout"));
    assert_eq!(told["plugins"]["failed"]["wrong-layout"], refused["reason"]);
    assert_eq!((&told["success"], &told["changed"]), (&true.into(), &false.into()), "{told}");
    // what runs goes on, and all is well once it is mended
    collects_on(&mut agent, "synthetic", 2);
    let ended = reload_with(&agent, "");
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{ended:?}");
    assert_eq!(reload(&agent)["plugins"]["failed"], serde_json::json!({}));
    collects_on(&mut agent, "faulty", 1);
    agent.stop();
}

#[test]
fn an_old_failure_is_not_told_of_what_is_still_beginning() {
    let home = Home::new(CONFIG).plugin("synthetic").plugin("host-mem").plugin("faulty");
    let mut agent = home.start();
    agent.until_ready();
    let table = |mode: &str| {
        let times = "mode = \"isolated\"\ninterval = \"60s\"\ndeadline = \"60s\"";
        reload_with(&agent, &format!("{times}\nconfig = {{ mode = \"{mode}\" }}"))
    };
    let ended = table("error_collect");
    assert!(not_started(&ended, "faulty", "plugins started: faulty\n").contains("planned in collect"));
    // for as long as the answer waits
    let ended = table("hang");
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{ended:?}");
    assert_eq!(ended.out, "plugins changed: faulty (config)\n");
    agent.stop();
}

#[test]
fn tokens_that_do_not_do() {
    let agent = Home::new(CONFIG).plugin("synthetic").plugin("host-mem").start();
    let with = |token: &str| {
        let home = agent.home().clone().variable("TWARGA_ADMIN_TOKEN", token);
        home.end(home.command("reload").args(["--agent", &agent.address().to_string()]))
    };
    let at = format!("twarga-agent: the agent at http://{} wants an admin token, and", agent.address());
    let hint = "set TWARGA_ADMIN_TOKEN to one\n";
    assert_eq!(fails(&with("a-token-of-another-agent")), format!("{at} does not know this one: {hint}"));
    assert_eq!(fails(&with(USER_TOKEN)), format!("{at} this is none: {hint}"));
    // no file that can be read
    let home = agent.home().clone();
    let missing = home.path("admins").display().to_string();
    home.write_config(&format!("{CONFIG}[http.auth]\nadmin_tokens = \"{missing}\"\n"));
    let ended = ask(&agent, "reload");
    let advice = "ask as the agent's user, or set TWARGA_ADMIN_TOKEN: No such file or directory (os error 2)";
    assert_eq!(
        fails(&ended),
        format!("twarga-agent: the admin token in {missing} can't be read; {advice}\n")
    );
}

#[test]
fn without_an_agent() {
    let home = Home::new(CONFIG).plugin("synthetic").plugin("host-mem");
    // somebody else has taken its port: the token that the agent made is not shown to them
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    other.set_nonblocking(true).unwrap();
    let address = other.local_addr().unwrap().to_string();
    let ask =
        |home: &Home| home.end(home.command("plugins").args(["restart", "synthetic", "--agent", &address]));
    let token = home.data().join("admin.token").display().to_string();
    let never = ask(&home);
    assert!(
        fails(&never).starts_with(&format!("twarga-agent: no admin token: there is no {token}; ")),
        "{never:?}"
    );
    home.start().stop();
    assert!(fs::exists(&token).unwrap());
    let down = ask(&home);
    let told =
        format!("twarga-agent: no agent runs with the data directory {}: start it", home.data().display());
    assert!(fails(&down).starts_with(&told), "{down:?}");
    assert_eq!(other.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    drop(other);
    // with a token of their own, they learn that nobody answers
    let home = home.variable("TWARGA_ADMIN_TOKEN", "a-token-of-the-operator");
    let nobody = ask(&home);
    let told = format!("twarga-agent: no answer of an agent at http://{address}: start it, or say where");
    assert!(fails(&nobody).starts_with(&told), "{nobody:?}");
}
