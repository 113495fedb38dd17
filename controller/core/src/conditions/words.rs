//! The tables: each word once, with what it means and what ends it. Constants only, no logic.

/// A word, what it means, and what follows: what ends it, or what a person can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word {
    /// The word itself.
    pub name: &'static str,
    /// What it says.
    pub means: &'static str,
    /// What ends it, or what to do; empty where there is nothing to say.
    pub then: &'static str,
}

/// Words that belong together in the reference.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// Its heading.
    pub title: &'static str,
    /// Where these words are seen.
    pub seen: &'static str,
    /// In the order of the reference.
    pub words: &'static [Word],
}

const fn word(name: &'static str, means: &'static str, then: &'static str) -> Word {
    Word { name, means, then }
}

/// All tables of `docs/reference/conditions.md`.
pub const TABLES: &[Table] = &[
    Table { title: "Condition types", seen: "`status.conditions[].type`", words: TYPES },
    Table { title: "Phases", seen: "`status.phase` (all) and `status.stages[].phase`", words: PHASES },
    Table {
        title: "What a stage waits for",
        seen: "`status.stages[].reason`; also on `Ready`, and on `Stalled` where nothing goes on by itself, when that stage is the one that speaks",
        words: WAITS,
    },
    Table {
        title: "Why a release is taken back",
        seen: "`status.stages[].reason` while the phase is `RollingBack` or `Blocked`, `status.stages[].rollback.reason` and `spec.reason` of the Quarantine",
        words: EVIDENCE,
    },
    Table {
        title: "Reasons of conditions alone",
        seen: "`status.conditions[].reason`, not bound to a stage",
        words: CONDITIONS,
    },
    Table {
        title: "Reading registries",
        seen: "`status.conditions[].reason` while the registry cannot be read and no stage has anything more urgent to say; also the label `outcome` of the metric `lockkeeper_registry_requests`",
        words: REGISTRY,
    },
    Table { title: "ImagePins", seen: "`status.conditions[]` of an ImagePin", words: PINS },
    Table { title: "Labels of metrics", seen: "the [metrics](metrics.md)", words: LABELS },
    Table {
        title: "Why a tag was not taken",
        seen: "`status.tags[].reason`, `lockkeeper explain`, and `lockkeeper plan` and `select` beside the tag",
        words: TAGS,
    },
    Table {
        title: "Why a request is refused",
        seen: "`lockkeeper approve`, `adopt`, `hold`, `resume`, `promote`, `rollback`, with exit code 4; nothing is written then",
        words: REFUSALS,
    },
];

/// Types of conditions.
pub const TYPES: &[Word] = &[
    word("Ready", "`True`: every stage runs what it should, or waits at a gate as it was told to", ""),
    word("Reconciling", "`True`: a candidate is in some stage, or is being taken back", ""),
    word("Stalled", "`True`: some stage does not go on by itself; the message says what a person can do", ""),
    word(
        "BirthPinning",
        "whether the API server gives new pods their digest, judged by what new pods really carry",
        "",
    ),
    word(
        "Malformed",
        "`True`: annotations of ours that cannot be read, and so count as none; not there otherwise",
        "correct or remove them",
    ),
    word(
        "OrphanedPins",
        "`True`: pins of a stage, or in a namespace, that is not in the policy any more are still there",
        "delete them, or set `deletionPolicy: Release`",
    ),
];

/// Phases of policies and stages.
pub const PHASES: &[Word] = &[
    word("Idle", "nothing is in flight", ""),
    word("Waiting", "some stage waits at a gate; its reason says for what (policies only)", ""),
    word("Applying", "a wave, or the whole stage, is being given the candidate", ""),
    word("Soaking", "it has it, and has to stay healthy; only healthy time counts", ""),
    word("RollingBack", "a release is being taken back", "ends by itself, or in `Blocked`"),
    word("Blocked", "there is no safe digest, or a person must decide", "see the reason"),
    word(
        "Observing",
        "`mode: Observe`: everything is decided and reported, nothing is written",
        "`mode: Enforce`",
    ),
    word("Suspended", "`suspend: true`: nothing is written", "`suspend: false`"),
];

/// What a stage waits for.
pub const WAITS: &[Word] = &[
    word("Verified", "the release finished its soak here", "nothing to do"),
    word("Adopted", "what was found running is kept", "nothing to do"),
    word("Restored", "the status was lost; what the stage's pins say is kept", "nothing to do"),
    word("RolledBack", "a release was taken back; the stage is stable again", "nothing to do"),
    word(
        "RunsQuarantined",
        "a release that another stage proved bad is kept here, to reproduce it",
        "ends with the next release",
    ),
    word("NoCandidate", "selection has not chosen a release yet", "see the registry's reasons below"),
    word("NoPods", "no pod matches the stage", "check its selector and namespaces"),
    word(
        "NoContainers",
        "no container of what matches has one of the names in `containers`",
        "correct `containers`",
    ),
    word("NoReadyPods", "pods match, and none of them is Ready", "ends when one is"),
    word(
        "RepositoryMismatch",
        "the named container runs another repository; it is never touched",
        "name the mirror in `spec.pullFrom`, or correct `containers`",
    ),
    word(
        "Mixed",
        "no release runs on 80 % of the pods, so nothing is pinned",
        "an Intervention `Adopt` chooses one, or the first promotion brings them together",
    ),
    word("Resolving", "the registry is asked what a running digest is", "ends with its answer"),
    word(
        "Restoring",
        "the registry is asked what the digest of a pin is, after a lost status",
        "ends with its answer",
    ),
    word(
        "StatusRestored",
        "the status was lost: nothing is promoted until the longest soak has passed",
        "ends by itself",
    ),
    word(
        "StaleWatch",
        "the API server's watches are not fresh, so what is seen may be old: nothing is promoted, verified or taken back",
        "ends when they are",
    ),
    word(
        "Conflicted",
        "an older policy or stage holds the same containers",
        "change one of the two selectors",
    ),
    word(
        "Forbidden",
        "the policy's ServiceAccount lacks a right; the message names verb, resource and namespace",
        "grant it by a Role and a RoleBinding there",
    ),
    word(
        "Quarantined",
        "the candidate is quarantined, or was while it was in the stage",
        "a newer release, or deleting the Quarantine",
    ),
    word(
        "Refused",
        "this stage gave the candidate back without a quarantine",
        "a newer release, or an Intervention `Resume`",
    ),
    word(
        "LeftAlone",
        "the workloads of the stage may not be written; the message says why",
        "target `pods`, or take the image out of what the other tool applies",
    ),
    word(
        "OutOfRange",
        "what runs is newer than the candidate: versions never go down by themselves",
        "widen the range, set `select.allowDowngrade`, or an Intervention `Promote`",
    ),
    word("TooYoung", "the candidate is younger than `select.minimumReleaseAge`", "ends by itself"),
    word("Held", "a person asked to hold", "an Intervention `Resume`, or deleting the Hold"),
    word("WindowClosed", "it is outside of the stage's windows", "ends by itself when one opens"),
    word("ApprovalRequired", "approvals are missing", "an Intervention `Approve` with this digest"),
    word(
        "Checking",
        "the candidate is fetched through every repository that the pods use, and at last its tag is looked up once more; or what a Quarantine names is looked up",
        "ends with the answers",
    ),
    word(
        "NotPullable",
        "a repository in use does not have the digest, or pods could not pull it",
        "mirror it there",
    ),
    word(
        "TagMoved",
        "the candidate's tag names other contents now than when it was chosen: it is held",
        "an Intervention `Promote` with the digest that is meant",
    ),
    word(
        "TagGone",
        "the candidate's tag was deleted from the registry: it is held",
        "a newer release, or an Intervention `Promote` with its digest",
    ),
    word(
        "EditedByHand",
        "somebody took the candidate out of a pod or a pin by hand: nothing is widened",
        "`Resume` goes on, `RollBack` takes it back",
    ),
    word("Applying", "pods or templates are being changed", "ends by itself"),
    word(
        "Contested",
        "another manager keeps setting the image of a workload back; the message names both",
        "target `pods`, or leave that field out there; ends at `maxSoak`",
    ),
    word(
        "WaveUnstable",
        "more wave pods went away than are replaced",
        "an Intervention `Resume` or `RollBack`",
    ),
    word("Soaking", "the candidate has to stay healthy until then", "ends by itself"),
    word(
        "SoakPaused",
        "the soak's clock stands still; the message says why",
        "ends when the pods are Ready and watches fresh, at `maxSoak` at the latest",
    ),
    word(
        "SuspectOnePod",
        "the evidence is against one pod or one node only: neither widened nor taken back",
        "look at that pod; ends with other evidence, or at `maxSoak`",
    ),
    word("Resumed", "a person resumed the stage", "goes on by itself"),
    word(
        "RollbackRecommended",
        "degraded, and `rollback` of the stage is not `Automatic`",
        "an Intervention `RollBack` or `Resume`",
    ),
    word("RollingBack", "pods still run the bad release", "ends by itself"),
    word(
        "Sweeping",
        "no pod runs the bad release any more; it is watched that none comes back",
        "ends by itself",
    ),
    word(
        "RollbackNotReady",
        "what was restored does not get Ready",
        "look at the pods; `Resume` goes on, `Adopt` chooses another digest",
    ),
    word(
        "RollbackStuck",
        "a rollback is not over after two hours; it goes on all the same",
        "look at the pods and the refusals that the message names",
    ),
    word("NoSafeDigest", "there is no safe digest to go back to", "`Adopt` or `Promote` one"),
    word("SecondRollback", "the second rollback of this stage within an hour", "find out why; then `Resume`"),
    word("Observing", "`mode: Observe`: the message says what would be done", "`mode: Enforce`"),
    word("Suspended", "`suspend: true`: the message says what is left half-way", "`suspend: false`"),
    word("Idle", "nothing is in flight", "goes on by itself"),
];

/// Why a release is taken back.
pub const EVIDENCE: &[Word] = &[
    word(
        "RestartsIncreased",
        "it crashes more often than the pods of the release before beside it",
        "quarantined",
    ),
    word("CrashLoop", "at least two of its pods are in a crash loop, and none beside them is", "quarantined"),
    word(
        "NeverReady",
        "its pods did not get Ready in time: two or more are evidence, one is put back only",
        "quarantined, if two or more",
    ),
    word("RequestedByPerson", "an Intervention `RollBack`", "quarantined"),
    word(
        "Inconclusive",
        "the soak could not end, or data was missing too long",
        "put back, not quarantined; a newer release, or `Resume`",
    ),
];

/// Reasons of conditions alone.
pub const CONDITIONS: &[Word] = &[
    word(
        "TooManyPods",
        "a stage matches more pods than this installation allows; nothing is changed",
        "narrow its selector, or raise `--pod-limit`",
    ),
    word(
        "InvalidSpec",
        "the policy cannot be understood; nothing is changed",
        "the message has every mistake, and what to write instead",
    ),
    word("UpToDate", "all stages run what they should", "nothing to do"),
    word("Progressing", "a candidate is in some stage, or is being taken back", ""),
    word("NotStalled", "every stage goes on by itself", ""),
    word("NoStages", "the policy has no stage", "add one"),
    word(
        "TagMoved",
        "a version tag names other contents than when it was first seen: nothing is taken",
        "an Intervention `Promote` with the new digest takes it",
    ),
    word("Pending", "nothing has been looked at yet", "ends by itself"),
    word("Installed", "new pods get their digest from the API server", ""),
    word("SomeUnpinned", "so they do; some were born without it, and were put right", ""),
    word(
        "NotInstalled",
        "the admission policy or its binding is missing",
        "install the chart, which brings it",
    ),
    word(
        "Contested",
        "somebody changes or deletes a pin again and again; it is left alone, and new pods get what it says",
        "settle it with them; an annotation `lockkeeper.dev/manual-until` says until when a pin is theirs",
    ),
    word(
        "Retained",
        "pins that no stage stands behind are kept, as `deletionPolicy: Retain` says, and give new pods what they say",
        "delete them, or set `deletionPolicy: Release`",
    ),
    word("NotSeen", "the admission policy has not been looked up yet", "ends by itself"),
    word(
        "MalformedAnnotation",
        "an annotation of a pod or a pin is not as Lockkeeper writes or reads it; the message has object, value and fix",
        "correct or remove it",
    ),
];

/// Why a registry cannot be read.
pub const REGISTRY: &[Word] = &[
    word(
        "Unreachable",
        "the registry does not answer, or not completely",
        "what runs goes on running; ends by itself",
    ),
    word(
        "AuthFailed",
        "it wants a credential, or another one",
        "check `spec.registry.secretRef` and what that account may read",
    ),
    word(
        "BadAnswer",
        "it answers something else than a registry does",
        "check `spec.image`; a proxy in between may be it",
    ),
    word(
        "SecretUnreadable",
        "the Secret of `spec.registry.secretRef` cannot be read as the policy's ServiceAccount",
        "make it, or grant `get` on it",
    ),
    word(
        "SecretUnusable",
        "the Secret holds no credential that can be used",
        "it must be of type `kubernetes.io/dockerconfigjson`",
    ),
    word(
        "NotFound",
        "the repository does not exist there, or not for this credential",
        "check `spec.image` and `spec.pullFrom`",
    ),
    word(
        "Throttled",
        "it answers that it was asked too often",
        "ends by itself; a credential often raises the limit",
    ),
    word(
        "HostDenied",
        "the installation does not allow this host, or plain HTTP to it",
        "`--allow-host` of the controller",
    ),
    word("TLSUntrusted", "its certificate is not trusted", "the message says why"),
];

/// Conditions of an `ImagePin`.
pub const PINS: &[Word] = &[
    word(
        "Orphaned",
        "type: the policy of this pin, or its stage there, is gone, and the `deletionPolicy` was `Retain`",
        "delete the pin when it is not wanted any more",
    ),
    word("PolicyGone", "reason: the policy does not exist any more", ""),
    word("StageGone", "reason: the policy has no stage any more that pins there", ""),
];

/// Values of the labels of metrics.
pub const LABELS: &[Word] = &[
    word("WriteQuarantine", "`kind`: a Quarantine is made", ""),
    word("WritePin", "`kind`: a pin is made or changed", ""),
    word("DeletePin", "`kind`: a pin is deleted", ""),
    word("MarkOrphan", "`kind`: a pin that no stage stands behind is marked", ""),
    word("MovePod", "`kind`: containers of a running pod get another image", ""),
    word("PatchTemplate", "`kind`: a workload's template gets another image", ""),
    word("Forbidden", "`outcome`: the ServiceAccount lacks a right", "the policy's status names it"),
    word("Outdated", "`outcome`: the object had changed meanwhile; decided anew", ""),
    word("Refused", "`outcome`: the API server or a webhook refused", "the policy's status has its words"),
    word("Fenced", "`outcome`, `category`: this replica does not lead", ""),
    word("Unavailable", "`outcome`: the API server did not answer", ""),
    word("Observe", "`category`: the policy could not be looked at", "see the log"),
    word("Effect", "`category`: some effect of the pass failed", "see `lockkeeper_effects`"),
    word("StatusConflict", "`category`: somebody else wrote the status; decided anew", ""),
    word("StatusWrite", "`category`: the status could not be written, so nothing was done", "see the log"),
    word("Timeout", "`category`: a pass took too long and was ended", "see the log"),
];

/// Why a tag was not taken.
pub const TAGS: &[Word] = &[
    word("Candidate", "it was taken: the newest release that selection admits", ""),
    word("Chosen", "`lockkeeper select` takes it", ""),
    word("Older", "the candidate is newer", ""),
    word("Quarantined", "its contents are quarantined", "deleting the Quarantine releases them"),
    word("PlatformMissing", "it lacks a platform in use", "publish it, or set `select.platforms`"),
    word(
        "TagMoved",
        "it names other contents than when it was first seen",
        "`Promote` the digest to take it",
    ),
    word("TagGone", "it was listed, and is gone", ""),
    word("NotATag", "the registry listed something that no image reference can name", ""),
    word("Ignored", "it matches `select.ignoreTags`", ""),
    word("NotFollowed", "`select.digest` follows another tag", ""),
    word("Filtered", "it does not match `select.filterTags.pattern`", ""),
    word("NotAVersion", "it is no semantic version", ""),
    word("NotANumber", "it is no number, and `select.numerical` goes by numbers", ""),
    word(
        "NoBuildDate",
        "its image's config has no date of build, a zero one or one of the future, and `select.newestBuild` goes by it",
        "",
    ),
    word("Prerelease", "it is a pre-release, and the range names none", ""),
    word("OutOfRange", "it is outside of `select.semver.range`", ""),
];

/// Why a request is refused before it is made.
pub const REFUSALS: &[Word] = &[
    word("NoSuchStage", "the policy has no stage of that name", "name one it has"),
    word("NoApprovalNeeded", "the stage asks for no approval", "nothing to do"),
    word(
        "AlreadyApproved",
        "the same person has approved this release here",
        "another person's approval counts",
    ),
    word("AlreadyThere", "the stage runs that release", "nothing to do"),
    word(
        "UnknownRelease",
        "neither selection nor any stage of the policy knows that release",
        "give the digest of one that is known, or `Promote` it",
    ),
    word("Quarantined", "the release is quarantined", "delete the Quarantine, if it is wrong"),
    word("Refused", "the stage gave that release back", "`Resume` forgets it"),
    word(
        "NotVerified",
        "the stages before have not verified that release",
        "wait, or `Promote` with `--skip Soak`",
    ),
    word(
        "NotMixed",
        "the stage has a release of its own: `Adopt` chooses only where there is none",
        "`Promote` another one",
    ),
    word("NothingToResume", "the stage is not held, has refused nothing and is not Blocked", "nothing to do"),
    word("NotHere", "the stage does not run that release", "give the digest that it runs, or none"),
    word("NothingRuns", "the stage has no release yet", "wait until it has adopted one"),
    word("RollingBack", "a release is being taken back already", "nothing to do"),
    word(
        "NoSafeDigest",
        "there is nothing verified or adopted to go back to",
        "`Promote` a digest that is good",
    ),
    word("Observing", "`mode: Observe`: nothing would be written", "`mode: Enforce`"),
    word("Suspended", "`suspend: true`: nothing would be written", "`suspend: false`"),
];

/// Reasons of Events, and of the entries of `status.history`.
pub const EVENTS: &[Word] = &[
    word("CandidateFound", "selection chose a new release", ""),
    word(
        "PlatformMissing",
        "a release is not taken because it lacks a platform in use",
        "publish it, or set `select.platforms`",
    ),
    word("TagMoved", "a version tag names other contents than before", "`Promote` the digest to take it"),
    word("Adopted", "what a stage runs is kept as its stable release", ""),
    word("ApprovalRequired", "a release waits for approvals", "an Intervention `Approve`"),
    word("PromotionStarted", "a release enters a stage", ""),
    word("Widening", "a wave has soaked; the next one, or the whole stage, follows", ""),
    word("Verified", "a release finished its soak in a stage; the message says what that rules out", ""),
    word("Suspect", "the evidence is against one pod or one node only", "look at that pod"),
    word("Degraded", "a release is bad here; the message is the evidence", ""),
    word(
        "Quarantined",
        "contents are held back from every stage of the namespace",
        "deleting the Quarantine releases them",
    ),
    word("PutBack", "a release is put back without a quarantine", "see the message"),
    word("RolledBack", "a release was taken back from a stage", ""),
    word("Blocked", "a stage needs a person", "see the message"),
    word("Resumed", "a person resumed a stage", ""),
    word(
        "DriftDetected",
        "pods run other contents than their stage should",
        "`drift: Repair` puts them right",
    ),
    word(
        "EditedByHand",
        "somebody took a candidate out of a pod or a pin by hand: held",
        "`Resume` or `RollBack`",
    ),
    word("PinPutBack", "somebody changed or deleted a pin; it was put back", ""),
    word(
        "Contested",
        "somebody keeps changing the same object back; it is left alone",
        "settle with the manager that the message names",
    ),
];
