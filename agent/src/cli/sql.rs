//! `sql`: the history as tables, read with SQL, also while the agent runs.

use super::rows::{self, Format};
use crate::{
    app,
    config::{self, Flags},
    sql::{Database, SCHEMA, SqlError},
    store::Readers,
};
use anyhow::{Context, Result, bail};
use clap::Args;
use std::{
    io::{self, IsTerminal, Read, Write},
    process::ExitCode,
};

/// More than this is no statement, but the wrong file.
const LONGEST: u64 = 1 << 20;

const TABLES: &str = "\
Tables (times in milliseconds since 1970 UTC; columns in brackets come only where they are named):
  metrics(name, labels, ts, value, [time, series, kind, unit, run])      a row a sample
  events(id, ts, type, severity, message, details, vm_id, [time])        what happened
  gaps(id, scope, collector, series, first, last, reason, [first_time, last_time])
  series(id, name, labels, kind, unit, help, plugin)                     all that are known
  vms(id, uuid)
`.tables` and `.schema` in place of a statement print them.

A condition on name, labels, series, ts or time (RFC 3339 or its beginning) keeps the rest from being read.
Samples are read in many short transactions: what is written meanwhile may be seen or not.

Examples:
  twarga-agent sql \"SELECT name, count(*) FROM metrics GROUP BY name\"
  twarga-agent sql \"SELECT time, value FROM metrics WHERE name = 'host_load1' AND time >= '2026-11-20' ORDER BY ts\"
  twarga-agent sql --format csv - < report.sql";

#[derive(Debug, Args)]
#[command(after_help = TABLES)]
pub(super) struct SqlArgs {
    /// One or more statements; `-` or nothing reads them from standard input
    #[arg(value_name = "STATEMENT")]
    statement: Option<String>,
    /// A table for people, or a format for programs
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

pub(super) fn run(flags: &Flags, args: &SqlArgs) -> Result<ExitCode> {
    let config = config::load(flags)?.config;
    let statements = match args.statement.as_deref() {
        Some(statements) if statements != "-" => statements.to_owned(),
        _ => from_input()?,
    };
    let answered = match statements.trim() {
        ".tables" => print(|out| SCHEMA.iter().try_for_each(|(name, _)| writeln!(out, "{name}"))),
        ".schema" => print(|out| {
            let mut tables = SCHEMA.iter().map(|(_, declaration)| declaration.to_string_lossy());
            tables.try_for_each(|declaration| writeln!(out, "{declaration};"))
        }),
        other if other.starts_with('.') => bail!("there are only .tables and .schema beside statements"),
        _ => {
            let readers = Readers::of_file(&app::store_file(&config.agent.data_dir))?;
            let out = io::BufWriter::with_capacity(1 << 16, io::stdout().lock());
            let mut rows = rows::printer(args.format, out);
            Database::open(&readers)?.run(&statements, &mut *rows)
        }
    };
    match answered {
        Err(SqlError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        answered => Ok(answered.map(|()| ExitCode::SUCCESS)?),
    }
}

fn print(lines: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), SqlError> {
    Ok(lines(&mut io::stdout().lock())?)
}

fn from_input() -> Result<String> {
    let input = io::stdin();
    if input.is_terminal() {
        writeln!(
            io::stderr(),
            "write a statement and end with Ctrl-D; `twarga-agent sql --help` names the tables"
        )?;
    }
    let mut bytes = Vec::new();
    let read = input.lock().take(LONGEST + 1).read_to_end(&mut bytes);
    read.context("can't read the statement from standard input")?;
    if bytes.len() as u64 > LONGEST {
        bail!("standard input has more than {LONGEST} bytes; that is no statement");
    }
    String::from_utf8(bytes).context("the statement on standard input is not UTF-8")
}
