//! What SQLite sees: one implementation of its virtual tables for all of ours, which are plain safe Rust behind [`Table`].
#![allow(unsafe_code, reason = "rusqlite's traits of virtual tables are unsafe: they promise a layout")]

use crate::store::{Readers, StoreError};
use rusqlite::{
    Connection, Result,
    types::{ToSqlOutput, Value},
    vtab::{
        Context, CreateVTab, Filters, IndexConstraintOp, IndexInfo, Module, VTab, VTabConnection, VTabCursor,
        VTabKind, sqlite3_vtab, sqlite3_vtab_cursor,
    },
};
use std::{
    borrow::Cow,
    ffi::{CStr, c_int},
    marker::PhantomData,
};

/// A read-only table.
pub(super) trait Table: 'static {
    /// Its name.
    const NAME: &'static str;
    /// Its columns, as a `CREATE TABLE` statement.
    const DECLARATION: &'static CStr;
    /// A running read.
    type Scan: Scan;

    /// How these conditions and this order (column, descending) are best met. SQLite checks every condition again, so
    /// a plan may promise too many rows, never too few.
    fn plan(conditions: &[Condition], order: &[(usize, bool)]) -> Plan;

    /// Begins to read: the plan's text, and the values of the conditions that it uses.
    fn scan(readers: &Readers, plan: &str, values: &[Value]) -> std::result::Result<Self::Scan, StoreError>;
}

/// Rows, one after the other.
pub(super) trait Scan {
    /// Whether there is no row (any more).
    fn at_end(&self) -> bool;
    /// Goes to the next row.
    fn advance(&mut self) -> std::result::Result<(), StoreError>;
    /// A cell of this row.
    fn cell(&self, column: usize) -> ToSqlOutput<'_>;
}

/// A condition that SQLite offers to have met by the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    /// The column's number.
    pub(super) column: usize,
    /// How it is compared.
    pub(super) compared: Compared,
}

/// Comparisons that a table may meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compared {
    Equal,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

/// How a read is done.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Plan {
    /// Which of the offered conditions are used; their values are given to the scan in this order.
    pub(super) uses: Vec<usize>,
    /// Whatever the scan has to know of the plan.
    pub(super) text: String,
    /// About how many rows there will be.
    pub(super) rows: f64,
    /// Rows come in the wanted order.
    pub(super) ordered: bool,
}

/// What reading costs before the first row, in rows.
const START_COST: f64 = 100.0;

/// Makes a table known to a connection.
pub(super) fn register<T: Table>(conn: &Connection, readers: &Readers) -> Result<()> {
    let module = const { &Module::<VirtualTable<T>>::read_only_module() };
    conn.create_module(T::NAME, module, Some(readers.clone()))?;
    conn.execute_batch(&format!("CREATE VIRTUAL TABLE {0} USING {0}", T::NAME))
}

#[repr(C)]
struct VirtualTable<T> {
    /// SQLite's part. Must be first.
    base: sqlite3_vtab,
    readers: Readers,
    table: PhantomData<T>,
}

// SAFETY: the struct is `repr(C)`, and its first field is SQLite's part.
unsafe impl<T: Table> VTab<'_> for VirtualTable<T> {
    type Aux = Readers;
    type Cursor = Cursor<T>;

    fn connect(
        _db: &mut VTabConnection,
        readers: Option<&Readers>,
        _module: &[u8],
        _database: &[u8],
        _table: &[u8],
        _arguments: &[&[u8]],
    ) -> Result<(Cow<'static, CStr>, Self)> {
        let readers = readers.ok_or_else(|| failed("registered without a store"))?.clone();
        let table = Self { base: sqlite3_vtab::default(), readers, table: PhantomData };
        Ok((Cow::Borrowed(T::DECLARATION), table))
    }

    fn best_index(&self, info: &mut IndexInfo) -> Result<bool> {
        let (places, conditions) = offered(info)?;
        let order: Option<Vec<(usize, bool)>> = (info.order_bys())
            .map(|by| Some((usize::try_from(by.column()).ok()?, by.is_order_by_desc())))
            .collect();
        let order = order.unwrap_or_default();
        let plan = T::plan(&conditions, &order);
        for (argument, used) in (1..).zip(&plan.uses) {
            info.constraint_usage(places[*used]).set_argv_index(argument);
        }
        info.set_idx_str(&plan.text);
        info.set_estimated_rows(plan.rows as i64);
        info.set_estimated_cost(START_COST + plan.rows);
        info.set_order_by_consumed(plan.ordered && !order.is_empty());
        Ok(true)
    }

    fn open(&mut self) -> Result<Cursor<T>> {
        let base = sqlite3_vtab_cursor::default();
        Ok(Cursor { base, readers: self.readers.clone(), scan: None, row: 0 })
    }
}

impl<T: Table> CreateVTab<'_> for VirtualTable<T> {
    const KIND: VTabKind = VTabKind::Default;
}

/// The conditions that can be met now, and their places in SQLite's list.
fn offered(info: &IndexInfo) -> Result<(Vec<usize>, Vec<Condition>)> {
    let (mut places, mut conditions) = (Vec::new(), Vec::new());
    for (place, constraint) in info.constraints().enumerate() {
        let Ok(column) = usize::try_from(constraint.column()) else { continue };
        let compared = match constraint.operator() {
            IndexConstraintOp::SQLITE_INDEX_CONSTRAINT_EQ => Compared::Equal,
            IndexConstraintOp::SQLITE_INDEX_CONSTRAINT_LT => Compared::Less,
            IndexConstraintOp::SQLITE_INDEX_CONSTRAINT_LE => Compared::AtMost,
            IndexConstraintOp::SQLITE_INDEX_CONSTRAINT_GT => Compared::Greater,
            IndexConstraintOp::SQLITE_INDEX_CONSTRAINT_GE => Compared::AtLeast,
            _ => continue,
        };
        // another collation finds more than what is the same bytes
        if constraint.is_usable() && info.collation(place)? == "BINARY" {
            places.push(place);
            conditions.push(Condition { column, compared });
        }
    }
    Ok((places, conditions))
}

#[repr(C)]
struct Cursor<T: Table> {
    /// SQLite's part. Must be first.
    base: sqlite3_vtab_cursor,
    readers: Readers,
    scan: Option<T::Scan>,
    row: i64,
}

// SAFETY: the struct is `repr(C)`, and its first field is SQLite's part.
unsafe impl<T: Table> VTabCursor for Cursor<T> {
    fn filter(&mut self, _number: c_int, plan: Option<&str>, values: &Filters<'_>) -> Result<()> {
        let values = (0..values.len()).map(|at| values.get::<Value>(at)).collect::<Result<Vec<_>>>()?;
        self.row = 0;
        self.scan = None;
        self.scan =
            Some(T::scan(&self.readers, plan.unwrap_or_default(), &values).map_err(|error| failed(&error))?);
        Ok(())
    }

    fn next(&mut self) -> Result<()> {
        self.row += 1;
        self.scan.as_mut().map_or(Ok(()), |scan| scan.advance().map_err(|error| failed(&error)))
    }

    fn eof(&self) -> bool {
        self.scan.as_ref().is_none_or(Scan::at_end)
    }

    fn column(&self, context: &mut Context, column: c_int) -> Result<()> {
        match (&self.scan, usize::try_from(column)) {
            (Some(scan), Ok(column)) => context.set_result(scan.cell(column)),
            _ => Ok(()), // NULL
        }
    }

    fn rowid(&self) -> Result<i64> {
        Ok(self.row)
    }
}

fn failed(error: &(impl ToString + ?Sized)) -> rusqlite::Error {
    rusqlite::Error::ModuleError(error.to_string())
}
