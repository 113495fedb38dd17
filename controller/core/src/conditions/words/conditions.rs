//! Words of conditions: of policies, of reading registries, of `ImagePin`s; and the phases beside them. Constants only.

use super::{Word, word};

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
        "WavesInPlace",
        "`False`: files of a repository are delivered without waves on running pods before, as the account lacks the right to patch them; not there otherwise",
        "grant it by a Role and a RoleBinding, or take the risk: what applies the files then brings a release to all pods at once",
    ),
    word(
        "Notified",
        "whether messages to those whom `spec.notify` or the installation names arrive; not there before the first one",
        "the message says why not",
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
    word("Delivered", "the last message was taken", ""),
    word(
        "NotDelivered",
        "a receiver of messages does not take them; nothing else waits for that",
        "correct the Secret that the message names; ends with the next message that is taken",
    ),
    word("NotStalled", "every stage goes on by itself", ""),
    word("NoStages", "the policy has no stage", "add one"),
    word(
        "TagMoved",
        "a version tag names other contents than when it was first seen: nothing is taken",
        "an Intervention `Promote` with the new digest takes it",
    ),
    word("Pending", "nothing has been looked at yet", "ends by itself"),
    word("Installed", "new pods get their digest from the API server", ""),
    word(
        "Webhook",
        "new pods get their digest from the controller's webhook, because the API server serves no `MutatingAdmissionPolicy`; those born while no replica answers are put right",
        "Kubernetes 1.36 pins them itself, which needs no replica",
    ),
    word("SomeUnpinned", "so they do; some were born without it, and were put right", ""),
    word(
        "NotInstalled",
        "neither the admission policy with its binding nor the webhook is there",
        "`lockkeeper check` says why; the controller makes them where `pinAtBirth.enabled` says so",
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
        "check `spec.registry.secretRef`, or `provider` and what its identity is allowed, and what that account may read",
    ),
    word(
        "BadAnswer",
        "it answers something else than a registry does",
        "check `spec.image`; a proxy in between may be it",
    ),
    word(
        "AccountUnusable",
        "the policy's ServiceAccount, or the installation, does not say by which identity of the cloud `spec.registry.provider` signs in",
        "the message names the annotation of the ServiceAccount, or the flag",
    ),
    word(
        "SecretUnreadable",
        "a Secret or ServiceAccount that `spec.registry` or `select.verify` names cannot be read as the policy's ServiceAccount",
        "make it, or grant `get` on it",
    ),
    word(
        "SecretUnusable",
        "a Secret that `spec.registry` or `select.verify` names holds nothing that can be used: a credential, certificates, a proxy, public keys",
        "the message names the key; a credential is of type `kubernetes.io/dockerconfigjson`",
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
    word(
        "TrustedRootUnusable",
        "the trusted root of `--sigstore-trusted-root` cannot be read, so that nobody knows what keyless signatures are worth",
        "mount another one; the message says what is wrong with it",
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
