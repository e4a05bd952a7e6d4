//! Which files are read, and what is said of those that can't be.

use super::*;
use std::os::unix::fs::symlink;

#[test]
fn files_are_searched_in_order() {
    let home = Home::new();
    let files = [
        ("etc/agent.toml", 1),
        ("home/.config/twarga-agent/agent.toml", 2),
        ("work/agent.toml", 3),
        ("elsewhere/mine.toml", 4),
    ];
    let text = |interval: u64| format!("agent.interval = \"{interval}s\"\nplugins.a.enabled = true\n");
    for (name, interval) in &files[..3] {
        home.write(name, text(*interval).as_bytes());
        let config = home.config();
        assert_eq!(config.agent.interval, seconds(*interval), "{name}");
        assert_eq!(config.files, [home.path(name)]);
    }
    let mut home = home;
    home.write(files[3].0, text(4).as_bytes());
    home.flags.config = Some("../elsewhere/mine.toml".into());
    assert_eq!(home.config().agent.interval, seconds(4));
    home.flags.config = None;
    fs::remove_file(home.path("work/agent.toml")).unwrap();
    home.write("xdg/twarga-agent/agent.toml", text(5).as_bytes());
    home.environment.config_home = Some(home.path("xdg"));
    assert_eq!(home.config().agent.interval, seconds(5));
}

#[test]
fn the_state_lies_where_the_user_says() {
    let mut home = Home::new();
    home.environment.state_home = Some(home.path("state"));
    assert_eq!(home.config().agent.data_dir, home.path("state/twarga-agent"));
    home.environment.is_root = true;
    assert_eq!(home.config().agent.data_dir, home.path("var"));
    home.environment = Environment { is_root: false, home: None, state_home: None, ..home.environment };
    assert_eq!(
        home.errors(),
        "agent.data_dir: there is no default, because HOME is not set; set it, or give --data-dir"
    );
    home.flags.data_dir = Some("data".into());
    assert_eq!(home.config().agent.data_dir, home.path("work/data"));
}

#[test]
fn paths_begin_at_their_file() {
    let home = Home::with(
        r#"
        [agent]
        data_dir = "data"
        plugin_dirs = ["./a", "~/b", "/c", "~", "a"]
        [http.auth]
        user_tokens = "tokens/user"
        [plugins.x]
        "#,
    );
    home.write("work/agent.d/10.toml", b"http.auth.admin_tokens = \"admin\"");
    let config = home.config();
    assert_eq!(config.agent.data_dir, home.path("work/data"));
    let dirs = ["work/a", "home/b", "/c", "home/", "bin", "plugins"].map(|dir| home.path(dir));
    assert_eq!(config.agent.plugin_dirs, dirs);
    assert_eq!(config.http.user_tokens, Some(home.path("work/tokens/user")));
    assert_eq!(config.http.admin_tokens, Some(home.path("work/agent.d/admin")));
}

#[test]
fn an_empty_file_is_a_configuration() {
    let wanted =
        "agent.toml: no plugin is enabled: nothing is collected; name one, such as [plugins.host-cpu]\n";
    for text in ["", "\u{feff}", "# nothing\r\n", "\n\n"] {
        assert_eq!(Home::with(text).warnings(), wanted, "{text:?}");
    }
}

#[test]
fn line_ends_and_byte_order_marks_change_nothing() {
    let unix = shipped();
    let windows = format!("\u{feff}{}", unix.replace('\n', "\r\n"));
    let home = Home::with(&unix);
    let config = home.config();
    home.write("work/agent.toml", windows.as_bytes());
    assert_eq!(home.config(), config);
}

#[test]
fn files_that_cannot_be_read_say_why() {
    let mut home = Home::new();
    home.flags.config = Some("missing.toml".into());
    let missing =
        "missing.toml: can't be read: there is no such file; create it, or name another file with --config";
    assert_eq!(home.errors(), missing);
    home.flags.config = None;
    symlink("nowhere", home.path("work/agent.toml")).unwrap();
    assert_eq!(home.errors(), missing.replace("missing", "agent"));
    fs::remove_file(home.path("work/agent.toml")).unwrap();
    fs::create_dir(home.path("work/agent.toml")).unwrap();
    assert_eq!(home.errors(), "agent.toml: is a folder, not a file; name the file in it");
    fs::remove_dir(home.path("work/agent.toml")).unwrap();
    symlink("/dev/null", home.path("work/agent.toml")).unwrap();
    assert_eq!(home.errors(), "agent.toml: is not a regular file");
    fs::remove_file(home.path("work/agent.toml")).unwrap();
    let comment = |bytes: usize| format!("plugins.a.enabled = true\n#{}", "x".repeat(bytes - 26));
    home.write("work/agent.toml", comment(1 << 20).as_bytes());
    assert_eq!(home.warnings(), "");
    home.write("work/agent.toml", comment(10 << 20).as_bytes());
    assert_eq!(home.errors(), "agent.toml: is larger than 1 MiB; is it another file than was meant?");
}

#[test]
fn folders_of_drop_ins_that_cannot_be_read_say_why() {
    let home = Home::with("[plugins.a]");
    home.write("work/agent.d", b"");
    assert_eq!(
        home.errors(),
        "agent.d: not a folder; drop-ins are files in a folder of this name; rename this file"
    );
    fs::remove_file(home.path("work/agent.d")).unwrap();
    fs::create_dir_all(home.path("work/agent.d/10.toml")).unwrap();
    symlink("nowhere", home.path("work/agent.d/20.toml")).unwrap();
    assert_eq!(
        home.errors(),
        "agent.d/10.toml: is a folder, not a file; name the file in it\n\
         agent.d/20.toml: can't be read: there is no such file; create it, or name another file with --config"
    );
}
