//! Request units, computed from the capacity that the engine reports.

use dynoxide::DynoxideError;
use dynoxide::types::ConsumedCapacity;

use crate::usage::Units;

/// The kind of capacity that an operation consumes, if the report does not state it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Read,
    Write,
    /// A PartiQL statement. Its kind is unknown without parsing it, so it counts as a read unless
    /// the report states otherwise.
    Either,
}

/// Returns the sum of the capacity that an operation consumed.
pub(super) fn of<'c>(kind: Kind, consumed: impl IntoIterator<Item = &'c ConsumedCapacity>) -> Units {
    let mut units = Units::default();
    for capacity in consumed {
        // A repeated transaction reports reads, although its operation is a write.
        let (read, write) = (capacity.read_capacity_units, capacity.write_capacity_units);
        if read.is_some() || write.is_some() {
            units.read += read.unwrap_or(0.0);
            units.write += write.unwrap_or(0.0);
        } else if kind == Kind::Write {
            units.write += capacity.capacity_units;
        } else {
            units.read += capacity.capacity_units;
        }
    }
    units
}

/// Returns the minimum cost of a failed request. AWS bills failed conditions.
pub(super) fn of_failure(error: &DynoxideError) -> Units {
    let write = if let DynoxideError::TransactionCanceledException(_, reasons) = error {
        2.0 * reasons.len() as f64
    } else if let DynoxideError::ConditionalCheckFailedException(..) = error {
        1.0
    } else {
        0.0
    };
    Units { write, read: 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reported(read: Option<f64>, write: Option<f64>) -> ConsumedCapacity {
        ConsumedCapacity {
            table_name: "table".into(),
            capacity_units: 4.0,
            read_capacity_units: read,
            write_capacity_units: write,
            table: None,
            global_secondary_indexes: None,
            local_secondary_indexes: None,
            vector_indexes: None,
        }
    }

    #[test]
    fn reported_capacity_takes_precedence_over_the_kind_of_operation() {
        let replay = of(Kind::Write, &[reported(Some(4.0), None)]);
        assert_eq!(replay, Units { read: 4.0, write: 0.0 });
        let plain = of(Kind::Write, &[reported(None, None), reported(None, None)]);
        assert_eq!(plain, Units { read: 0.0, write: 8.0 });
        let query = of(Kind::Read, &[reported(None, None)]);
        assert_eq!(query, Units { read: 4.0, write: 0.0 });
    }
}
