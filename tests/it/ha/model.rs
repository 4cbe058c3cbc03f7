//! The protocol of raises, rollbacks and take-overs as a model, walked exhaustively.
//!
//! The Lease is worth nothing here: any daemon may believe that it leads at any time, for as long as it likes. That
//! covers every pause, every clock and every partition at once; what is left to protect traffic are the versions, the
//! marks and the order of writes. Each request may arrive at any later time, also when its sender has given up.
//!
//! `stateright` walks it, breadth first, so that what it finds is the shortest way to harm. It remembers states by 64 bits
//! of hash.

mod walked;

use stateright::Property;
use std::collections::HashSet;
use std::fmt;
use std::sync::Mutex;

/// What the protocol rests on; each is dropped once, and the model must find the harm.
#[derive(Clone, Copy, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one thing that may be dropped"
)]
struct Rules {
    /// A raise carries the version of the routed object that was read before it was declared.
    fence: bool,
    /// A rollback leaves its mark although the weight is 0 already.
    mark_at_zero: bool,
    /// A raise stands in the status before it is written.
    declare_first: bool,
    /// A status is written on the version that it was decided on.
    precondition: bool,
    /// Whoever takes over recognises a rollback by its mark.
    reads_marks: bool,
}

const HONEST: Rules = Rules {
    fence: true,
    mark_at_zero: true,
    declare_first: true,
    precondition: true,
    reads_marks: true,
};

type Who = u8;
type Change<'a> = &'a dyn Fn(&mut State);

const OUTLIVED: &str = "a raise landed after a rollback";
const UNDECLARED: &str = "more is written than was ever declared";
const FORGOTTEN: &str = "the status of a rollback was overwritten";
const STUCK: &str = "a rollback never gets there";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Mark {
    None,
    Raised,
    Back,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Status {
    written: u8,
    intent: Option<u8>,
    back: bool,
}

/// A request under way. `fresh` says whether the version that it carries is still the newest: that is all that a
/// version is good for, so versions need no numbers and the model stays finite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Request {
    Raise { who: Who, weight: u8, fresh: bool },
    Back { who: Who, fresh: bool },
    Status { who: Who, status: Status, fresh: bool },
}

impl Request {
    fn who(self) -> usize {
        let (Self::Raise { who, .. } | Self::Back { who, .. } | Self::Status { who, .. }) = self;
        usize::from(who)
    }

    fn give_to(&mut self, other: usize) {
        let (Self::Raise { who, .. } | Self::Back { who, .. } | Self::Status { who, .. }) = self;
        *who = Who::try_from(other).unwrap();
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Lane {
    Idle,
    /// (a) read.
    Read {
        fresh: bool,
    },
    /// (b) on its way.
    Declaring {
        fresh: bool,
        weight: u8,
    },
    /// (b) persisted.
    Declared {
        fresh: bool,
        weight: u8,
    },
    /// (c) on its way.
    Writing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Daemon {
    leads: bool,
    /// The status as it knows it, and whether that is the newest.
    known: Option<(Status, bool)>,
    /// It has heard of the wish to roll back.
    heard: bool,
    lane: Lane,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    weight: u8,
    mark: Mark,
    status: Status,
    daemons: Vec<Daemon>,
    under_way: Vec<Request>,
    wish: bool,
    /// Remembered for the properties alone: the highest weight ever declared, whether somebody has rolled back, and
    /// whether the status has said so.
    declared: u8,
    rolled_back: bool,
    told: bool,
}

struct Model {
    rules: Rules,
    daemons: usize,
    top: u8,
    /// As many requests may be under way.
    most: usize,
    /// States from which the end of a rollback is known to be reached.
    gets_there: Mutex<HashSet<State>>,
}

/// What happens, and what it makes.
#[derive(Clone, PartialEq)]
struct Step {
    what: What,
    next: State,
}

#[derive(Clone, Copy, PartialEq)]
enum What {
    Wished,
    Arrives(Request),
    Does(usize, &'static str),
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.what {
            What::Wished => f.write_str("somebody wants it back"),
            What::Arrives(request) => write!(f, "{request:?} arrives"),
            What::Does(who, what) => write!(f, "{who} {what}"),
        }
    }
}

impl stateright::Model for Model {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        vec![self.begin()]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        steps.extend(self.next(state));
    }

    fn next_state(&self, _: &State, step: Step) -> Option<State> {
        Some(step.next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(OUTLIVED, |_, state: &State| {
                !state.rolled_back || state.weight == 0
            }),
            Property::always(UNDECLARED, |_, state: &State| state.weight <= state.declared),
            Property::always(FORGOTTEN, |_, state: &State| !state.told || state.status.back),
            // `eventually` would hold of no protocol in which a daemon may pause for ever: that it can still be done is
            // what is asked.
            Property::always(STUCK, |model: &Self, state: &State| {
                !state.wish || model.gets_there(state)
            }),
        ]
    }
}

impl Model {
    fn begin(&self) -> State {
        let asleep = Daemon {
            leads: false,
            known: None,
            heard: false,
            lane: Lane::Idle,
        };
        State {
            weight: 0,
            mark: Mark::None,
            status: Status {
                written: 0,
                intent: None,
                back: false,
            },
            daemons: vec![asleep; self.daemons],
            under_way: Vec::new(),
            wish: false,
            declared: 0,
            rolled_back: false,
            told: false,
        }
    }

    fn next(&self, state: &State) -> Vec<Step> {
        let mut all = Vec::new();
        if !state.wish {
            let mut next = state.clone();
            next.wish = true;
            all.push(Step {
                what: What::Wished,
                next,
            });
        }
        for (n, request) in state.under_way.iter().enumerate() {
            let mut next = state.clone();
            next.under_way.remove(n);
            self.arrives(&mut next, *request);
            all.push(Step {
                what: What::Arrives(*request),
                next,
            });
        }
        for who in 0..self.daemons {
            self.steps(state, who, &mut all);
        }
        for step in &mut all {
            step.next.in_order(self.daemons > 2);
        }
        all
    }

    fn arrives(&self, state: &mut State, request: Request) {
        match request {
            Request::Raise { who, weight, fresh } => {
                let daemon = &mut state.daemons[usize::from(who)];
                if daemon.lane == Lane::Writing {
                    daemon.lane = Lane::Idle;
                }
                if fresh || !self.rules.fence {
                    state.weight = weight;
                    state.mark = Mark::Raised;
                    state.route_changed();
                }
            }
            Request::Back { fresh, .. } => {
                // A lost race is read again and written again, by whoever still leads.
                if fresh {
                    state.weight = 0;
                    state.mark = Mark::Back;
                    state.rolled_back = true;
                    state.route_changed();
                }
            }
            Request::Status { who, status, fresh } => {
                let accepted = fresh || !self.rules.precondition;
                if accepted {
                    state.status = status;
                    state.declared = state.declared.max(status.intent.unwrap_or(0));
                    state.told |= status.back;
                    state.status_changed();
                }
                let daemon = &mut state.daemons[usize::from(who)];
                if !daemon.leads {
                    return;
                }
                daemon.known = accepted.then_some((status, true));
                if let Lane::Declaring { fresh, weight } = daemon.lane {
                    daemon.lane = if accepted {
                        Lane::Declared { fresh, weight }
                    } else {
                        Lane::Idle
                    };
                }
            }
        }
    }

    #[expect(clippy::too_many_lines, reason = "one protocol, read from top to bottom")]
    fn steps(&self, state: &State, who: usize, all: &mut Vec<Step>) {
        let daemon = state.daemons[who];
        let id = Who::try_from(who).unwrap();
        let mut may = |what: &'static str, change: &dyn Fn(&mut State)| {
            let mut next = state.clone();
            change(&mut next);
            if next.under_way.len() <= self.most && next != *state {
                all.push(Step {
                    what: What::Does(who, what),
                    next,
                });
            }
        };
        if !daemon.leads {
            may("takes the Lease", &|s| s.daemons[who].leads = true);
            return;
        }
        may(PAUSES, &|s| {
            s.daemons[who] = Daemon {
                leads: false,
                known: None,
                heard: false,
                lane: Lane::Idle,
            };
        });
        if daemon.known.is_none_or(|(_, fresh)| !fresh) {
            may("reads the status", &|s| {
                s.daemons[who].known = Some((s.status, true));
            });
        }
        if state.wish && !daemon.heard {
            may("hears of the wish", &|s| {
                s.daemons[who].heard = true;
                s.daemons[who].lane = Lane::Idle;
            });
        }
        let Some((known, fresh)) = daemon.known else {
            return;
        };
        let saying = state
            .under_way
            .iter()
            .any(|r| matches!(r, Request::Status { who, .. } if *who == id));
        let say = |status: Status| {
            move |s: &mut State| {
                s.under_way.push(Request::Status {
                    who: id,
                    status,
                    fresh,
                });
            }
        };
        let is_back = state.mark == Mark::Back && self.rules.reads_marks;
        if daemon.heard || known.back || is_back {
            self.lower(state, id, (known, saying), &mut may, &say);
            return;
        }
        match daemon.lane {
            Lane::Idle if saying => {}
            Lane::Idle if known.intent.is_some() => {
                may(
                    "discards an intent",
                    &say(Status {
                        intent: None,
                        ..known
                    }),
                );
            }
            Lane::Idle if state.weight != known.written => {
                let written = state.weight;
                may("finishes the bookkeeping", &say(Status { written, ..known }));
            }
            Lane::Idle if known.written < self.top => {
                may("reads for a raise", &|s| {
                    s.daemons[who].lane = Lane::Read { fresh: true }
                });
            }
            Lane::Idle | Lane::Declaring { .. } | Lane::Writing => {}
            Lane::Read { fresh: route } => {
                let weight = known.written + 1;
                let intent = Status {
                    intent: Some(weight),
                    ..known
                };
                if self.rules.declare_first {
                    may("declares", &|s| {
                        s.daemons[who].lane = Lane::Declaring { fresh: route, weight };
                        say(intent)(s);
                    });
                } else {
                    may("writes before it declares", &|s| {
                        s.daemons[who].lane = Lane::Writing;
                        s.under_way.push(Request::Raise {
                            who: id,
                            weight,
                            fresh: route,
                        });
                        say(intent)(s);
                    });
                }
            }
            Lane::Declared { fresh: route, weight } => {
                may("writes", &|s| {
                    s.daemons[who].lane = Lane::Writing;
                    s.under_way.push(Request::Raise {
                        who: id,
                        weight,
                        fresh: route,
                    });
                });
            }
        }
    }

    fn lower<S: Fn(&mut State)>(
        &self,
        state: &State,
        id: Who,
        (known, saying): (Status, bool),
        may: &mut dyn FnMut(&'static str, Change<'_>),
        say: &dyn Fn(Status) -> S,
    ) {
        let lowering = state
            .under_way
            .iter()
            .any(|r| matches!(r, Request::Back { who, .. } if *who == id));
        let needless = state.weight == 0 && !self.rules.mark_at_zero;
        let there = (state.weight == 0 && state.mark == Mark::Back) || needless;
        if !there && !lowering {
            may("rolls back", &|s| {
                s.under_way.push(Request::Back { who: id, fresh: true });
            });
        }
        if there && !saying && !known.back {
            let status = Status {
                written: 0,
                intent: None,
                back: true,
            };
            may("says that it is back", &|s| {
                s.rolled_back = true;
                say(status)(s);
            });
        }
    }

    /// Whether a rollback that is wished for can still be carried out: by what is under way arriving, and by what a daemon
    /// does that is left alone.
    fn gets_there(&self, from: &State) -> bool {
        let mut way = Vec::new();
        let mut state = from.clone();
        while !state.is_back() && !self.gets_there.lock().unwrap().contains(&state) {
            match self.onward(&state) {
                Some(next) if way.len() < LONGEST => way.push(std::mem::replace(&mut state, next)),
                Some(_) | None => return false,
            }
        }
        self.gets_there.lock().unwrap().extend(way);
        true
    }

    /// The next state when nobody pauses any more.
    fn onward(&self, state: &State) -> Option<State> {
        let mut next = if let Some(request) = state.under_way.first() {
            let mut next = state.clone();
            next.under_way.remove(0);
            self.arrives(&mut next, *request);
            next
        } else {
            let mut steps = Vec::new();
            self.steps(state, 0, &mut steps);
            steps
                .into_iter()
                .find(|step| step.what != What::Does(0, PAUSES))?
                .next
        };
        next.in_order(self.daemons > 2);
        Some(next)
    }
}

const PAUSES: &str = "notices that it does not lead";
/// No rollback takes more steps than this.
const LONGEST: usize = 40;

impl State {
    /// The traffic is back, and the status says so.
    fn is_back(&self) -> bool {
        self.weight == 0 && self.mark == Mark::Back && self.status.back
    }

    /// The order of requests under way means nothing, and neither does that of daemons: `alike` makes one state of those
    /// that differ in it alone.
    fn in_order(&mut self, alike: bool) {
        if alike {
            let mut order: Vec<usize> = (0..self.daemons.len()).collect();
            order.sort_by_key(|who| {
                let mut own: Vec<Request> = self
                    .under_way
                    .iter()
                    .filter(|r| r.who() == *who)
                    .copied()
                    .collect();
                for request in &mut own {
                    request.give_to(0);
                }
                own.sort_unstable();
                (self.daemons[*who], own)
            });
            self.daemons = order.iter().map(|who| self.daemons[*who]).collect();
            for request in &mut self.under_way {
                let now = order.iter().position(|who| *who == request.who()).unwrap();
                request.give_to(now);
            }
        }
        self.under_way.sort_unstable();
    }

    fn route_changed(&mut self) {
        for request in &mut self.under_way {
            if let Request::Raise { fresh, .. } | Request::Back { fresh, .. } = request {
                *fresh = false;
            }
        }
        for daemon in &mut self.daemons {
            if let Lane::Read { fresh } | Lane::Declaring { fresh, .. } | Lane::Declared { fresh, .. } =
                &mut daemon.lane
            {
                *fresh = false;
            }
        }
    }

    fn status_changed(&mut self) {
        for request in &mut self.under_way {
            if let Request::Status { fresh, .. } = request {
                *fresh = false;
            }
        }
        for daemon in &mut self.daemons {
            if let Some((_, fresh)) = &mut daemon.known {
                *fresh = false;
            }
        }
    }
}
