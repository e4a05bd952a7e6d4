//! Plugins that panic, lie and flood: the process lives, the others go on, and everything refused is counted.

use super::{Run, Shelf};
use std::{
    fs,
    sync::{Arc, Mutex},
};
use tracing_subscriber::fmt::MakeWriter;
use twarga_agent::{collect::Source, host::InstanceOptions, model::LocalSeries};
use twarga_plugin_api::{Error, ErrorKind};

fn faulty(config: &str) -> Result<Run, Error> {
    let shelf = Shelf::new();
    shelf.run(&shelf.loaded("faulty"), config)
}

/// The error of making this one.
fn not_made(config: &str) -> Error {
    faulty(config).err().unwrap_or_else(|| panic!("{config} was made"))
}

/// That an error says where in the plugin's source the panic was.
fn assert_place(error: &Error, text: &str) {
    let place = error.location();
    let (file, line) = place.rsplit_once(':').unwrap_or_else(|| panic!("no place: {error}"));
    assert!(file.ends_with("examples/faulty.rs"), "{place}");
    let source = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/faulty.rs")).unwrap();
    let line = source.lines().nth(line.parse::<usize>().unwrap() - 1).unwrap();
    assert!(line.contains(text), "{place} is `{line}`");
}

#[test]
fn errors_keep_kind_message_and_place() {
    for (mode, kind) in [
        ("error_new", ErrorKind::Transient),
        ("config_error", ErrorKind::Config),
        ("unsupported", ErrorKind::Unsupported),
        ("panic_new", ErrorKind::Panicked),
    ] {
        let error = not_made(&format!(r#"{{"mode":"{mode}"}}"#));
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.message().contains("planned in new"), "{error}");
    }
    assert_eq!(not_made(r#"{"mode":"config_error"}"#).location(), "mode");
    let error = not_made(r#"{"mode":"panic_new"}"#);
    assert_place(&error, "planned in new");
    assert!(error.to_string().starts_with("panicked: planned in new at "), "{error}");
}

#[test]
fn wrong_configuration_names_the_key() {
    for (config, key, what) in [
        (r#"{"mode":"none","nn":1}"#, "nn", "unknown field"),
        (r#"{"after":-1}"#, "after", "invalid value"),
        (r#"{"mode":"nosuch"}"#, "mode", "unknown variant"),
        ("null", "", "invalid type"),
    ] {
        let error = not_made(config);
        assert_eq!((error.kind(), error.location()), (ErrorKind::Config, key), "{config}: {error}");
        assert!(error.message().contains(what), "{error}");
        assert!(!error.message().contains(" at line "), "{error}");
    }
    faulty("").unwrap().collect().unwrap();
}

#[test]
fn payloads_that_are_no_text_and_bombs() {
    for mode in ["panic_any", "panic_bomb"] {
        let error = not_made(&format!(r#"{{"mode":"{mode}"}}"#));
        assert_eq!(error.kind(), ErrorKind::Panicked);
        assert_eq!(error.message(), "panicked: a panic without a message");
        assert_place(&error, "panic_any(");
    }
}

#[test]
fn a_panic_in_collect_ends_that_collector_alone() {
    let shelf = Shelf::new();
    let library = shelf.loaded("faulty");
    let mut sound = shelf.run(&library, "{}").unwrap();
    let mut run = shelf.run(&library, r#"{"mode":"panic_collect","after":2}"#).unwrap();
    run.collect().unwrap();
    run.collect().unwrap();
    let error = run.collect().unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Panicked, "panicked: planned in collect"));
    assert_place(&error, "planned in collect");
    assert_eq!(run.value("faulty_value"), Some(3.0), "what it put before counts");
    let again = run.collect().unwrap_err();
    assert_eq!((again.kind(), again.message()), (ErrorKind::Panicked, "not called again after its panic"));
    assert_eq!(run.value("faulty_value"), None);
    sound.collect().unwrap();
    assert_eq!(sound.value("faulty_value"), Some(1.0));
    drop(run);
    shelf.run(&library, "{}").unwrap().collect().unwrap();
}

#[test]
fn panics_in_drop_and_in_threads_stay_inside() {
    let shelf = Shelf::new();
    let library = shelf.loaded("faulty");
    let mut run = shelf.run(&library, r#"{"mode":"panic_drop"}"#).unwrap();
    run.collect().unwrap();
    drop(run);
    let mut run = shelf.run(&library, r#"{"mode":"panic_thread"}"#).unwrap();
    run.collect().unwrap();
    run.collect().unwrap();
}

#[test]
fn errors_in_collect_keep_what_was_put() {
    for (mode, kind) in [("error_collect", ErrorKind::Transient), ("fatal_collect", ErrorKind::Fatal)] {
        let mut run = faulty(&format!(r#"{{"mode":"{mode}","after":1}}"#)).unwrap();
        run.collect().unwrap();
        let error = run.collect().unwrap_err();
        assert_eq!((error.kind(), error.message()), (kind, "planned in collect"));
        assert_eq!(run.value("faulty_value"), Some(2.0));
        run.collect().unwrap_err();
        assert_eq!(run.value("faulty_value"), Some(3.0), "called again");
    }
}

/// A message is stored with a gap, shown in JSON and written to a log.
#[test]
fn messages_of_plugins_are_short_and_clean() {
    let mut run = faulty(r#"{"mode":"long_error","n":1000000}"#).unwrap();
    let error = run.collect().unwrap_err();
    assert!(error.message().starts_with("long "), "{error}");
    assert!(error.to_string().len() <= 1100, "{} bytes", error.to_string().len());
    assert!(!error.to_string().contains(char::is_control), "{error:?}");
}

#[test]
fn ids_that_it_was_never_given() {
    let mut run = faulty(r#"{"mode":"bad_series"}"#).unwrap();
    run.collect().unwrap();
    assert_eq!(run.samples().keys().collect::<Vec<_>>(), [&"faulty_value"]);
    assert_eq!(run.instance.refused(), 11, "ten foreign ones, one retired");
    run.collect().unwrap();
    assert_eq!(run.instance.refused(), 22);
}

#[test]
fn values_that_are_no_numbers() {
    let mut run = faulty(r#"{"mode":"nan","after":1}"#).unwrap();
    for (value, refused) in [(1.0, 0), (2.0, 3), (3.0, 6)] {
        run.collect().unwrap();
        assert_eq!(run.value("faulty_value"), Some(value));
        assert_eq!(run.value("faulty_steps_total"), None);
        assert_eq!(run.instance.refused(), refused);
    }
}

#[test]
fn two_samples_of_one_series() {
    let mut run = faulty(r#"{"mode":"duplicate"}"#).unwrap();
    for count in 1..=3_u32 {
        run.collect().unwrap();
        assert_eq!(run.batch.samples.len(), 1);
        assert_eq!(run.value("faulty_value"), Some(f64::from(count)), "the first one counts");
        assert_eq!(run.instance.refused(), u64::from(count));
    }
}

#[test]
fn a_counter_that_falls_was_reset() {
    let mut run = faulty(r#"{"mode":"backwards"}"#).unwrap();
    let mut resets = Vec::new();
    for _ in 0..3 {
        run.collect().unwrap();
        let sample = run.samples()["faulty_steps_total"];
        resets.push((sample.value, sample.reset));
    }
    assert_eq!(resets, [(100.0, false), (99.0, true), (98.0, true)]);
    assert_eq!(run.instance.refused(), 0);
}

#[test]
fn the_limit_of_series_holds() {
    let shelf = Shelf::new();
    let library = shelf.loaded("faulty");
    let mut options = shelf.options(r#"{"mode":"too_many","n":1000}"#);
    options.max_series = 12;
    let (run, log) = logged(|| {
        let mut run = Run::new(&library, &options).unwrap();
        run.collect().unwrap();
        run
    });
    assert_eq!((run.instance.live_series(), run.instance.live_ids().len()), (12, 12));
    assert_eq!(run.batch.samples.len(), 11, "ten items and the value; the counter was not put");
    assert!(log.contains("the limit of 12 series is reached"), "{log}");
}

#[test]
fn labels_are_checked() {
    let error = not_made(r#"{"mode":"long_label","n":1025}"#);
    assert!(error.message().contains("the value of `item` has over 1024 bytes"), "{error}");
    faulty(r#"{"mode":"long_label","n":1024}"#).unwrap();
    let error = not_made(r#"{"mode":"few_labels"}"#);
    assert!(error.message().contains("metric `faulty_item` has 1 labels, not 0"), "{error}");
}

#[test]
fn a_flood_of_absences_is_one_absence() {
    let mut run = faulty(r#"{"mode":"absences","n":100000}"#).unwrap();
    for _ in 0..2 {
        run.collect().unwrap();
        assert_eq!(run.batch.absent.len(), 1);
    }
}

#[test]
fn a_flood_of_log_lines_is_cut() {
    let (_, log) = logged(|| {
        let mut run = faulty(r#"{"mode":"logs","n":100000}"#).unwrap();
        run.collect().unwrap();
    });
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines.len(), 21, "{log}");
    assert!(lines[0].contains("WARN") && lines[0].ends_with("line 0 of a flood"), "{log}");
    assert!(lines[20].contains("99980 more lines"), "{log}");
}

#[test]
fn numbers_go_on_where_those_before_ended() {
    let shelf = Shelf::new();
    let library = shelf.loaded("faulty");
    let options: InstanceOptions = shelf.options(r#"{"mode":"too_many","n":3}"#);
    let mut run = Run::new(&library, &options).unwrap();
    run.collect().unwrap();
    let base: LocalSeries = run.instance.next_base();
    assert_eq!(base, 5);
    let mut successor = twarga_agent::host::Instance::new(&library, &options, base).unwrap();
    run.batch.clear();
    successor.collect(&mut run.batch).unwrap();
    assert!(run.batch.samples.iter().all(|sample| (5..10).contains(&sample.series)), "{:?}", run.batch);
    assert_eq!(successor.live_ids(), [5, 6, 7, 8, 9]);
    assert_eq!(successor.next_base(), 10);
}

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Captured {
    type Writer = Self;
    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// What it did, and what was logged meanwhile.
pub(super) fn logged<T>(act: impl FnOnce() -> T) -> (T, String) {
    let captured = Captured::default();
    let subscriber =
        tracing_subscriber::fmt().with_ansi(false).without_time().with_writer(captured.clone()).finish();
    let done = tracing::subscriber::with_default(subscriber, act);
    let log = String::from_utf8_lossy(&captured.0.lock().unwrap()).into_owned();
    (done, log)
}
