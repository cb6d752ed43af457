//! Rankings: for each name a value by minute, summed over whichever minutes are asked for.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use super::{Minute, Top};

/// Where names go that are one too many.
pub const OTHER: &str = "(other)";

/// The values of one name by minute, oldest first. Almost always appended to or changed at the end.
#[derive(Debug, Default)]
struct Values(Vec<(Minute, i128)>);

impl Values {
    fn add(&mut self, minute: Minute, value: i128) {
        match self.0.binary_search_by_key(&minute, |(m, _)| *m) {
            Ok(at) => self.0[at].1 += value,
            Err(at) => self.0.insert(at, (minute, value)),
        }
    }

    fn sum(&self, from: Minute, to: Minute) -> i128 {
        let upto = self.0.iter().rev().skip_while(|(m, _)| *m >= to);
        upto.take_while(|(m, _)| *m >= from).map(|(_, v)| v).sum()
    }
}

/// One ranking.
#[derive(Debug)]
pub struct Ranking {
    names: HashMap<String, Values>,
    max_names: usize,
    /// The latest minute in which a name went to [`OTHER`].
    lumped: Minute,
}

impl Ranking {
    /// With room for so many names.
    pub fn new(max_names: usize) -> Self {
        Self { names: HashMap::new(), max_names, lumped: Minute::MIN }
    }

    /// Adds to a name's value in a minute.
    pub fn add(&mut self, name: &str, minute: Minute, value: i128) {
        if let Some(values) = self.names.get_mut(name) {
            values.add(minute, value);
        } else if self.names.len() < self.max_names {
            self.names.entry_ref(name).or_default().add(minute, value);
        } else {
            self.lumped = self.lumped.max(minute);
            self.names.entry_ref(OTHER).or_default().add(minute, value);
        }
    }

    /// Forgets minutes before `floor`.
    pub fn forget_before(&mut self, floor: Minute) {
        self.names.retain(|_, values| {
            if values.0.first().is_some_and(|(m, _)| *m < floor) {
                values.0.retain(|(m, _)| *m >= floor);
            }
            !values.0.is_empty()
        });
    }

    /// The best over minutes `from` to `to` (exclusive).
    pub fn top(&self, from: Minute, to: Minute, limit: usize) -> Top {
        let sums = self.names.iter().map(|(name, values)| (values.sum(from, to), &**name));
        let mut best: Vec<(i128, &str)> = sums.filter(|(sum, _)| *sum != 0).collect();
        let order = |a: &(i128, &str), b: &(i128, &str)| b.0.cmp(&a.0).then(a.1.cmp(b.1));
        if limit < best.len() && limit > 0 {
            best.select_nth_unstable_by(limit - 1, order);
        }
        best.truncate(limit);
        best.sort_unstable_by(order);
        let entries = best.into_iter().map(|(sum, name)| (name.to_owned(), sum)).collect();
        Top { entries, exact: self.lumped < from }
    }

    /// Every value, for a copy elsewhere.
    pub fn all(&self) -> HashMap<String, BTreeMap<Minute, i128>> {
        self.names.iter().map(|(name, values)| (name.clone(), values.0.iter().copied().collect())).collect()
    }

    /// About how many bytes of memory it takes.
    pub fn bytes(&self) -> usize {
        let heap = |(name, values): (&String, &Values)| name.len() + values.0.capacity() * size_of::<(Minute, i128)>();
        self.names.capacity() * size_of::<(String, Values)>() + self.names.iter().map(heap).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_over_any_minutes_and_lumps_what_is_too_many() {
        let mut pages = Ranking::new(3);
        for (name, minute, value) in [("/b", 10, 2), ("/a", 10, 1), ("/a", 12, 1), ("/c", 11, 5), ("/d", 12, 9)] {
            pages.add(name, minute, value);
        }
        let top = |pages: &Ranking, from, to| {
            let top = pages.top(from, to, 2);
            (top.entries.iter().map(|(n, v)| format!("{n} {v}")).collect::<Vec<_>>().join(", "), top.exact)
        };
        assert_eq!(top(&pages, 10, 11), ("/b 2, /a 1".into(), false));
        assert_eq!(top(&pages, 12, 13), ("(other) 9, /a 1".into(), false));
        assert_eq!(top(&pages, 10, 13), ("(other) 9, /c 5".into(), false));
        pages.forget_before(12);
        assert_eq!(top(&pages, 10, 13), ("(other) 9, /a 1".into(), false));
        pages.add("/e", 13, 4);
        assert_eq!(top(&pages, 13, 14), ("/e 4".into(), true));
    }
}
