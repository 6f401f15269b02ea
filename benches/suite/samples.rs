//! Measuring in turns, and what is said of the numbers.

use serde::{Deserialize, Serialize};

/// One that takes its turn.
pub struct Contender<'c> {
    pub name: String,
    /// It takes part in every so many rounds: what takes long needs fewer.
    pub every: usize,
    /// Runs once and returns what counts: milliseconds, bytes, a rate.
    pub run: Box<dyn FnMut(usize) -> f64 + 'c>,
}

impl<'c> Contender<'c> {
    pub fn new(name: impl Into<String>, every: usize, run: impl FnMut(usize) -> f64 + 'c) -> Contender<'c> {
        Contender { name: name.into(), every, run: Box::new(run) }
    }
}

/// What came of each contender, by round.
pub struct Turns {
    pub names: Vec<String>,
    rounds: Vec<Vec<Option<f64>>>,
}

/// Runs every contender in every round, one after the other, so that the machine's moods hit all of them alike. Their
/// order is shuffled for each round: a program that syncs pays for some of what its predecessor left unsynced. `warm` rounds
/// come before those that count.
pub fn interleave(rounds: usize, warm: usize, contenders: &mut [Contender<'_>]) -> Turns {
    let mut turns = Turns {
        names: contenders.iter().map(|it| it.name.clone()).collect(),
        rounds: vec![Vec::new(); contenders.len()],
    };
    let mut orders = Orders::of(contenders.len());
    for round in 0..warm + rounds {
        for place in orders.next() {
            let contender = &mut contenders[place];
            let takes_part = round < warm || (round - warm).is_multiple_of(contender.every);
            let value = takes_part.then(|| (contender.run)(round));
            if round >= warm {
                turns.rounds[place].push(value);
            }
        }
    }
    turns
}

/// Orders for so many contenders; the same in every run.
pub struct Orders {
    contenders: usize,
    state: u64,
}

impl Orders {
    pub fn of(contenders: usize) -> Orders {
        Orders { contenders, state: 0x9e37_79b9_7f4a_7c15 }
    }

    /// A new order: Fisher and Yates' shuffle, drawn by an xorshift generator.
    pub fn next(&mut self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.contenders).collect();
        for last in (1..self.contenders).rev() {
            self.state ^= self.state << 13;
            self.state ^= self.state >> 7;
            self.state ^= self.state << 17;
            order.swap(last, (self.state % (last as u64 + 1)) as usize);
        }
        order
    }
}

impl Turns {
    /// These turns, and further ones of the same contenders.
    pub fn and(mut self, further: Turns) -> Turns {
        assert_eq!(self.names, further.names, "others took part");
        for (rounds, more) in self.rounds.iter_mut().zip(further.rounds) {
            rounds.extend(more);
        }
        self
    }

    pub fn of(&self, contender: usize) -> Samples {
        Samples::new(self.rounds[contender].iter().flatten().copied().collect())
    }

    /// `contender` against `partner`, within each round that both took part in.
    pub fn ratio(&self, contender: usize, partner: usize) -> Samples {
        let pairs = self.rounds[contender].iter().zip(&self.rounds[partner]);
        Samples::new(pairs.filter_map(|(one, other)| Some((*one)? / (*other)?)).collect())
    }

    /// How much `contender` is above `partner`, within each round that both took part in.
    pub fn difference(&self, contender: usize, partner: usize) -> Samples {
        let pairs = self.rounds[contender].iter().zip(&self.rounds[partner]);
        Samples::new(pairs.filter_map(|(one, other)| Some((*one)? - (*other)?)).collect())
    }
}

/// Numbers of one kind.
#[derive(Clone, Debug)]
pub struct Samples(Vec<f64>);

impl Samples {
    pub fn new(mut values: Vec<f64>) -> Samples {
        values.sort_by(f64::total_cmp);
        Samples(values)
    }

    /// The value that `percent` of the numbers do not exceed; 0 if there are none.
    pub fn at(&self, percent: f64) -> f64 {
        let last = self.0.len().saturating_sub(1);
        let place = (last as f64 * percent / 100.0).round() as usize;
        self.0.get(place).copied().unwrap_or_default()
    }

    pub fn median(&self) -> f64 {
        self.at(50.0)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The median, with the middle half of the numbers around it: with all of them, where there are fewer than eight.
    pub fn spread(&self) -> Spread {
        let [low, high] = if self.len() < 8 { [0.0, 100.0] } else { [25.0, 75.0] };
        Spread { median: self.median(), low: self.at(low), high: self.at(high), runs: self.len() }
    }
}

/// A median with what lies around it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Spread {
    pub median: f64,
    pub low: f64,
    pub high: f64,
    pub runs: usize,
}

impl Spread {
    /// A number that was counted, not measured.
    pub fn exactly(value: f64) -> Spread {
        Spread { median: value, low: value, high: value, runs: 1 }
    }

    /// As `1.23 (1.1..1.4)`.
    pub fn show(&self) -> String {
        let [median, low, high] = [self.median, self.low, self.high].map(number);
        if low == high { median } else { format!("{median} ({low}..{high})") }
    }
}

/// A number with three digits that count, or all of those before the point.
pub fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        size if size < 0.1 => format!("{value:.4}"),
        size if size < 10.0 => format!("{value:.2}"),
        size if size < 100.0 => format!("{value:.1}"),
        _ => grouped(value.round() as i64),
    }
}

/// A whole number with commas.
pub fn grouped(value: i64) -> String {
    let digits = value.abs().to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0 { format!("-{text}") } else { text }
}
