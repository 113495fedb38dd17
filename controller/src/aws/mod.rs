//! What speaking to AWS needs without asking anybody: signatures, and a role that a `ServiceAccount` may take.
//!
//! Guarantees: nothing here reads a clock, dials or keeps a key; no error holds one. A role is the one that the
//! `ServiceAccount`'s annotation names, never one of the controller.
//!
//! Written after AWS's documented interfaces, and tested against its published examples and imitations.

pub mod sigv4;

use crate::ports::cloud::Account;
use lockkeeper_core::image::shown;
use sigv4::Keys;

const ROLE: &str = "eks.amazonaws.com/role-arn";
const AUDIENCE: &str = "eks.amazonaws.com/audience";

/// The end of host names, and the partition as ARNs name it, of a region.
#[must_use]
pub fn partition_of(region: &str) -> (&'static str, &'static str) {
    if region.starts_with("cn-") {
        ("amazonaws.com.cn", "aws-cn")
    } else if region.starts_with("eusc-") {
        ("amazonaws.eu", "aws-eusc")
    } else if region.starts_with("us-gov-") {
        ("amazonaws.com", "aws-us-gov")
    } else {
        ("amazonaws.com", "aws")
    }
}

/// The role that a `ServiceAccount` may take.
pub struct Role<'a> {
    arn: &'a str,
    audience: &'a str,
    account: &'a Account,
}

impl<'a> Role<'a> {
    /// The one that its annotation names; it has to be of this partition, which is that of `whose`.
    ///
    /// # Errors
    /// What is wrong with the annotation, and what to write.
    pub fn of(account: &'a Account, partition: &str, whose: &str) -> Result<Self, String> {
        let Some(arn) = annotation(account, ROLE) else {
            return Err(format!(
                "it has no annotation {ROLE}; write the ARN of an IAM role that trusts it (the controller's own role is never used)"
            ));
        };
        let rest = arn.strip_prefix(&format!("arn:{partition}:iam::"));
        let parts = rest.and_then(|rest| rest.split_once(":role/"));
        let fine = parts.is_some_and(|(account, name)| {
            account.len() == 12
                && account.bytes().all(|b| b.is_ascii_digit())
                && !name.is_empty()
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"+=,.@_/-".contains(&b))
        });
        if !fine || arn.len() > 2048 {
            return Err(format!(
                "its annotation {ROLE} is {}, which is none; write arn:{partition}:iam::<account>:role/<name>, a role of the \
                 {whose}'s partition",
                shown(arn)
            ));
        }
        let audience = annotation(account, AUDIENCE).unwrap_or("sts.amazonaws.com");
        Ok(Self { arn, audience, account })
    }

    /// For whom the `ServiceAccount`'s token has to be.
    #[must_use]
    pub fn audience(&self) -> &'a str {
        self.audience
    }

    /// The form of `AssumeRoleWithWebIdentity`, which needs no keys.
    #[must_use]
    pub fn assume(&self, token: &str) -> String {
        // What the cloud's audit log shows; 64 characters at most.
        let session: String =
            format!("lockkeeper.{}", self.account.name.replace('/', ".")).chars().take(64).collect();
        let pairs = [
            ("Action", "AssumeRoleWithWebIdentity"),
            ("Version", "2011-06-15"),
            ("RoleArn", self.arn),
            ("RoleSessionName", session.as_str()),
            ("WebIdentityToken", token),
        ];
        url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
    }

    /// What to do where that is refused.
    #[must_use]
    pub fn trust(&self) -> String {
        let subject = self.account.name.replace('/', ":");
        format!(
            "the role {} has to trust the cluster's OIDC provider for the subject system:serviceaccount:{subject} and the audience {}",
            self.arn, self.audience
        )
    }
}

/// The keys in a good answer.
///
/// # Errors
/// The name of what is not in it.
pub fn assumed(answer: &[u8]) -> Result<Keys, &'static str> {
    let text = |name| element(answer, name).ok_or(name);
    Ok(Keys { id: text("AccessKeyId")?, secret: text("SecretAccessKey")?, session: text("SessionToken")? })
}

/// The text of the one element of this name, if it holds nothing but plain text: what STS gives has neither attributes
/// nor anything that XML would escape.
#[must_use]
pub fn element(xml: &[u8], name: &str) -> Option<String> {
    let xml = std::str::from_utf8(xml).ok()?;
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, rest) = rest.split_once(&format!("</{name}>"))?;
    let text = text.trim();
    let fine = !text.is_empty() && !text.contains(['<', '&']) && !text.contains(char::is_control);
    (fine && !rest.contains(&format!("<{name}>"))).then(|| text.to_owned())
}

/// One annotation of a `ServiceAccount`, without spaces around it.
fn annotation<'a>(account: &'a Account, name: &str) -> Option<&'a str> {
    account.annotations.get(name).map(|text| text.trim()).filter(|text| !text.is_empty())
}
