//! The library's own scenario: accounts that transfer to each other, and two subscribers that
//! record every change.

use std::{collections::BTreeMap, time::Duration};

use cloakroom::{
    Condition, Endpoint, EndpointSettings, Error, Handled, HandlerError, Message, Partition, Ports, Tx,
    endpoint::EndpointBuilder,
};
use serde::{Deserialize, Serialize};

use crate::simulation::{
    history::{Final, Rest},
    scenario::{Scenario, Submission},
};

const ACCOUNTS: &str = "accounts";
const JOURNAL: &str = "journal";
const STATEMENTS: &str = "statements";

/// Accounts, and two endpoints in the same partitions that receive every change.
///
/// There are messages with a claim and messages with an id only. There are fan-out, replies,
/// delayed messages, messages without effect, deletion and re-creation, and separate items.
/// Messages arrive out of order. These are rejected, deferred or retried until it is their turn.
/// One message is rejected forever.
#[derive(Clone, Copy, Debug)]
pub struct Ledger;

#[derive(Debug, Default, Serialize, Deserialize)]
struct Account {
    balance: i64,
    /// The last step of the sequence that was taken.
    step: u64,
    received: u64,
    /// Fills some states so much that hardly a record fits into the item.
    remark: String,
}

/// The state of the journal and of the statements.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Book {
    total: i64,
    lines: u64,
}

/// Declares a message to the account that its first field names.
macro_rules! message {
    ($type:ident { $account:ident $(, $field:ident: $kind:ty)* }, $name:literal) => {
        #[derive(Debug, Serialize, Deserialize)]
        struct $type {
            $account: u64,
            $($field: $kind,)*
        }

        impl Message for $type {
            const TYPE: &'static str = $name;

            fn partition(&self) -> Partition {
                Partition::new(format!("account#{}", self.$account))
            }
        }
    };
}

message!(Pay { account, amount: i64 }, "ledger.pay");
message!(Transfer { from, to: u64, amount: i64 }, "ledger.transfer");
message!(Deposit { account, amount: i64 }, "ledger.deposit");
message!(Received { account }, "ledger.received");
message!(Posted { account, amount: i64 }, "ledger.posted");
message!(Nudge { account }, "ledger.nudge");
message!(Close { account, to: u64 }, "ledger.close");
message!(SequenceStep { account, number: u64, early: Early }, "ledger.step");

/// What a step does that is received too early.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum Early {
    Fail,
    Defer,
    Reject,
}

/// The beginning of the reason of every rejection.
const OUT_OF_TURN: &str = "not its turn";

/// How long a step is deferred.
const DEFERRAL: Duration = Duration::from_secs(15);

/// A step that is always too early.
const NEVER: u64 = 99;

fn accounts() -> EndpointBuilder<Account> {
    Endpoint::builder(ACCOUNTS)
        .on(pay)
        .on(transfer)
        .on(deposit)
        .on(received)
        .on(nudge)
        .on(close)
        .on(step)
        .route::<Deposit>(ACCOUNTS)
        .route::<Nudge>(ACCOUNTS)
        .route::<Posted>(JOURNAL)
        .route::<Posted>(STATEMENTS)
}

impl Account {
    fn add(&mut self, account: u64, amount: i64, tx: &mut Tx) {
        self.balance += amount;
        tx.send(Posted { account, amount });
    }
}

async fn pay(state: &mut Account, Pay { account, amount }: Pay, tx: &mut Tx) -> Handled {
    state.remark = "-".repeat(usize::try_from(amount).unwrap_or_default());
    state.add(account, amount, tx);
    tx.send_after(Duration::from_secs(3), Nudge { account });
    Ok(())
}

async fn transfer(state: &mut Account, Transfer { from, to, amount }: Transfer, tx: &mut Tx) -> Handled {
    state.add(from, -amount, tx);
    tx.send(Deposit { account: to, amount });
    Ok(())
}

async fn deposit(state: &mut Account, Deposit { account, amount }: Deposit, tx: &mut Tx) -> Handled {
    state.add(account, amount, tx);
    let line = format!("line#{}", tx.message_id());
    tx.put(line, &BTreeMap::from([("amount", amount)]), Condition::Any);
    tx.reply(Received { account });
    Ok(())
}

async fn received(state: &mut Account, _: Received, _: &mut Tx) -> Handled {
    state.received += 1;
    Ok(())
}

/// Has no effect.
async fn nudge(_: &mut Account, _: Nudge, _: &mut Tx) -> Handled {
    Ok(())
}

/// Deletes the account. A later message to it creates a new one.
async fn close(state: &mut Account, Close { account, to }: Close, tx: &mut Tx) -> Handled {
    let amount = state.balance;
    state.add(account, -amount, tx);
    tx.send(Deposit { account: to, amount });
    tx.delete_state();
    Ok(())
}

async fn step(state: &mut Account, SequenceStep { number, early, .. }: SequenceStep, _: &mut Tx) -> Handled {
    if number == state.step + 1 {
        state.step = number;
        return Ok(());
    }
    let reason = format!("{OUT_OF_TURN}: step {number} after step {}", state.step);
    Err(match early {
        Early::Fail => HandlerError::retry(reason),
        Early::Defer => HandlerError::defer(DEFERRAL),
        Early::Reject => HandlerError::reject(reason),
    })
}

fn book(name: &str) -> EndpointBuilder<Book> {
    Endpoint::builder(name).on(posted)
}

async fn posted(book: &mut Book, Posted { amount, .. }: Posted, _: &mut Tx) -> Handled {
    book.total += amount;
    book.lines += 1;
    Ok(())
}

/// An account for steps only, because the others are deleted from time to time.
const STEPS: u64 = 100;

impl Scenario for Ledger {
    fn name(&self) -> &'static str {
        "ledger"
    }

    fn endpoints(&self) -> &'static [&'static str] {
        &[ACCOUNTS, JOURNAL, STATEMENTS]
    }

    fn endpoint(&self, name: &str, ports: Ports, settings: EndpointSettings) -> Result<Endpoint, Error> {
        match name {
            ACCOUNTS => accounts().settings(settings).build(ports),
            _ => book(name).settings(settings).build(ports),
        }
    }

    fn submissions(&self, random: &mut fastrand::Rng) -> Vec<Submission> {
        // One account or two, so that messages contend for them.
        let accounts = random.u64(1..3);
        let count = if random.u32(0..8) == 0 { random.u64(3..7) } else { random.u64(1..3) };
        let mut submissions: Vec<_> = (0..count).map(|number| balance_change(number, accounts, random)).collect();
        // Sometimes many messages arrive at once, most of them for one account, so that they are
        // folded.
        if count > 2 && random.bool() {
            submissions = submissions.into_iter().map(|submission| submission.after(Duration::ZERO)).collect();
        }
        if random.u32(0..4) == 0 {
            submissions.extend(steps(random));
        }
        submissions
    }

    fn is_rejection(&self, reason: &str) -> bool {
        reason.starts_with(&format!("{OUT_OF_TURN}: step {NEVER} "))
    }

    fn audit(&self, submissions: &[Submission], rest: &Rest) -> Vec<String> {
        audit(submissions, rest).unwrap_or_else(|unreadable| vec![unreadable])
    }
}

/// One of the messages that change balances.
fn balance_change(number: u64, accounts: u64, random: &mut fastrand::Rng) -> Submission {
    let (account, to, amount) = (random.u64(0..accounts), random.u64(0..accounts), random.i64(1..1_000));
    let id = format!("m-{number}");
    let submission = match random.u32(0..10) {
        0..4 => Submission::to(ACCOUNTS, &id, &Pay { account, amount }),
        4..7 => Submission::to(ACCOUNTS, &id, &Transfer { from: account, to, amount }),
        7..9 => Submission::to(ACCOUNTS, &id, &Close { account, to }),
        _ => Submission::to(ACCOUNTS, &id, &Nudge { account }),
    };
    submission.with_claim(random.bool()).after(Duration::from_millis(random.u64(0..3_000)))
}

/// Messages whose order matters, and sometimes one that is always too early.
fn steps(random: &mut fastrand::Rng) -> Vec<Submission> {
    let mut numbers: Vec<u64> = (1..=random.u64(1..4)).collect();
    if random.u32(0..3) == 0 {
        numbers.push(NEVER);
    }
    let step = |number| {
        let early = match number {
            NEVER => Early::Reject,
            _ => random.choice([Early::Fail, Early::Defer, Early::Reject]).unwrap_or(Early::Reject),
        };
        let step = SequenceStep { account: STEPS, number, early };
        let submission = Submission::to(ACCOUNTS, &format!("step-{number}"), &step).with_claim(random.bool());
        submission.after(Duration::from_millis(random.u64(0..1_000)))
    };
    numbers.into_iter().map(step).collect()
}

fn audit(submissions: &[Submission], rest: &Rest) -> Result<Vec<String>, String> {
    let accounts = rest.states::<Account>(ACCOUNTS)?;
    let mut findings = Vec::new();
    let paid: i64 = submissions.iter().filter_map(Submission::message::<Pay>).map(|pay| pay.amount).sum();
    let held: i64 = accounts.values().filter_map(|account| account.state.as_ref()).map(|state| state.balance).sum();
    if held != paid {
        findings.push(format!("{paid} were paid in, and the accounts hold {held}"));
    }
    for name in [JOURNAL, STATEMENTS] {
        let books = rest.states::<Book>(name)?;
        for (partition, Final { version, state }) in &books {
            let Some(Book { total, lines }) = state else {
                findings.push(format!("`{partition}` at `{name}` is deleted"));
                continue;
            };
            let balance = accounts.get(partition).and_then(|account| account.state.as_ref()).map_or(0, |it| it.balance);
            if *total != balance || lines != version {
                findings.push(format!(
                    "`{partition}` holds {balance}; `{name}` has {total} in {lines} lines of {version} messages"
                ));
            }
        }
    }
    let mut numbers: Vec<u64> =
        submissions.iter().filter_map(Submission::message::<SequenceStep>).map(|it| it.number).collect();
    numbers.sort_unstable();
    // Only some steps may have been submitted. Then later steps stay too early.
    let reachable = (1..).zip(&numbers).take_while(|(turn, number)| turn == *number).count() as u64;
    let taken = accounts.get(&Partition::new(format!("account#{STEPS}"))).and_then(|it| it.state.as_ref());
    if taken.map_or(0, |it| it.step) != reachable {
        findings
            .push(format!("{reachable} steps could be taken, and the last one taken is {:?}", taken.map(|it| it.step)));
    }
    Ok(findings)
}
