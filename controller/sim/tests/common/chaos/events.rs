//! What a random world is, and what may happen in it.

use lockkeeper_core::observed::InterventionKind;
use proptest::prelude::*;

/// A world before anything happens.
#[derive(Clone, Debug)]
pub struct Setup {
    pub seed: u64,
    /// 0: one stage; 1: two; 2: three in a row; 3: one, then two; 4: two, then one.
    pub shape: u8,
    /// All stages in one namespace, told apart by a label.
    pub together: bool,
    /// Pods per owner, per stage.
    pub owners: Vec<Vec<usize>>,
    /// An owner on an explicit, older version.
    pub explicit: Option<usize>,
    pub repair: bool,
}

pub fn setup() -> impl Strategy<Value = Setup> {
    let owners = prop::collection::vec(prop::collection::vec(1usize..6, 1..4), 3);
    (1u64..1000, 0u8..5, any::<bool>(), owners, prop::option::weighted(0.2, 0usize..3), any::<bool>())
        .prop_map(|(seed, shape, together, owners, explicit, repair)| Setup {
            seed,
            shape,
            together,
            owners,
            explicit,
            repair,
        })
}

#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Good,
    Crashes,
    CrashesLast,
    NeverReady,
    CrashAtStart,
    CrashAtStartLast,
}

/// Something that happens. Numbers are taken modulo what there is.
#[derive(Clone, Debug)]
pub enum Event {
    Pass(u8),
    Push(Kind),
    PushAgain,
    MoveTag,
    DeleteTag(usize),
    CollectGarbage(usize),
    Registry(bool),
    Watches(bool),
    Kill(usize),
    DeletePod(usize),
    Roll(usize),
    Scale(usize, usize),
    BirthPins(bool),
    EditPod(usize, usize),
    EditPin(usize, usize, bool),
    DeletePin(usize),
    Quarantine(usize),
    LiftQuarantine(usize),
    Ask(InterventionKind, usize, usize, bool),
    Withdraw(usize),
    Suspend(bool),
    Observe(bool),
    Windows(usize, bool),
    Soak(usize, i64),
    AddStage,
    RemoveStage(bool),
    ApplicationDown(usize, bool),
    RefuseMoves(bool),
}

pub fn event() -> impl Strategy<Value = Event> {
    use Event as E;
    let kind = prop_oneof![
        3 => Just(Kind::Good), 1 => Just(Kind::Crashes), 2 => Just(Kind::CrashesLast), 1 => Just(Kind::NeverReady),
        1 => Just(Kind::CrashAtStart), 1 => Just(Kind::CrashAtStartLast)
    ];
    let ask = prop_oneof![
        Just(InterventionKind::Hold),
        Just(InterventionKind::Resume),
        Just(InterventionKind::Approve),
        Just(InterventionKind::Promote),
        Just(InterventionKind::RollBack),
        Just(InterventionKind::Adopt)
    ];
    let happens = prop_oneof![
        6 => kind.prop_map(E::Push),
        1 => Just(E::PushAgain),
        1 => Just(E::MoveTag),
        1 => (0usize..9).prop_map(E::DeleteTag),
        1 => (0usize..9).prop_map(E::CollectGarbage),
        2 => any::<bool>().prop_map(E::Registry),
        2 => any::<bool>().prop_map(E::Watches),
        4 => (1usize..5).prop_map(E::Kill),
        3 => (0usize..40).prop_map(E::DeletePod),
        1 => (0usize..9).prop_map(E::Roll),
        1 => (0usize..9, 1usize..6).prop_map(|(a, b)| E::Scale(a, b)),
        1 => any::<bool>().prop_map(E::BirthPins),
        1 => (0usize..40, 0usize..9).prop_map(|(a, b)| E::EditPod(a, b)),
        1 => (0usize..9, 0usize..9, any::<bool>()).prop_map(|(a, b, c)| E::EditPin(a, b, c)),
        1 => (0usize..9).prop_map(E::DeletePin),
        1 => (0usize..9).prop_map(E::Quarantine),
        1 => (0usize..9).prop_map(E::LiftQuarantine),
        3 => (ask, 0usize..4, 0usize..9, any::<bool>()).prop_map(|(a, b, c, d)| E::Ask(a, b, c, d)),
        1 => (0usize..9).prop_map(E::Withdraw),
        1 => any::<bool>().prop_map(E::Suspend),
        1 => any::<bool>().prop_map(E::Observe),
        1 => (0usize..4, any::<bool>()).prop_map(|(a, b)| E::Windows(a, b)),
        1 => (0usize..4, 1i64..30).prop_map(|(a, b)| E::Soak(a, b)),
        1 => Just(E::AddStage),
        1 => any::<bool>().prop_map(E::RemoveStage),
        1 => (0usize..40, any::<bool>()).prop_map(|(a, b)| E::ApplicationDown(a, b)),
        1 => any::<bool>().prop_map(E::RefuseMoves),
    ];
    prop_oneof![5 => (1u8..40).prop_map(E::Pass), 6 => happens]
}
