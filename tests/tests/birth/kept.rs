//! What the controller makes is kept as the installation says, and follows when that changes.

use anyhow::{Result, ensure};
use e2e::install::{install, pins_at_birth, start_controller_with};
use e2e::{Bed, PATIENCE, Settings, eventually, run};
use kube::api::DeleteParams;
use lockkeeper_api::names::PIN_AT_BIRTH;
use serde_json::{Value, json};

use super::table::Shop;
use super::{BINDING, POLICY, WEBHOOK, form, made, say};

#[test]
fn k18_policy_and_binding_are_kept_as_the_installation_says() {
    run("k18_policy_and_binding_are_kept_as_the_installation_says", async |_| -> Result<()> {
        let bed = Bed::start(Settings { scheduler: false, ..Settings::default() }).await?;
        let admin = bed.admin().await?;
        install(&bed).await?;
        let shop = Shop::open(&bed, "shop").await?;
        let controller = start_controller_with(&bed, "lockkeeper", &["--birth-interval=1s"]).await?;
        form(&controller, "v1").await?;
        shop.is_pinned(&bed, "v1").await?;
        ensure!(made(&admin, "v1", WEBHOOK).get_opt(PIN_AT_BIRTH).await?.is_none(), "nobody needs it");

        let binding = made(&admin, "v1", BINDING);
        let before = binding.get(PIN_AT_BIRTH).await?.metadata.uid;
        binding.delete(PIN_AT_BIRTH, &DeleteParams::default()).await?;
        eventually("it is made again", PATIENCE, async || {
            let uid = binding.get(PIN_AT_BIRTH).await?.metadata.uid;
            ensure!(uid != before, "not yet");
            Ok(())
        })
        .await?;

        let mut policy = pins_at_birth("policy")?;
        policy["spec"]["failurePolicy"] = json!("Fail");
        say(&admin, &json!({"policy": policy.to_string()})).await?;
        eventually("the policy follows", PATIENCE, async || {
            let spec = made(&admin, "v1", POLICY).get(PIN_AT_BIRTH).await?.data;
            ensure!(spec["spec"]["failurePolicy"] == "Fail", "{}", spec["spec"]["failurePolicy"]);
            Ok(())
        })
        .await?;

        say(&admin, &json!({"policy": Value::Null, "binding": Value::Null, "enabled": "false"})).await?;
        form(&controller, "none").await?;
        ensure!(made(&admin, "v1", POLICY).get_opt(PIN_AT_BIRTH).await?.is_none());
        shop.is_not_pinned(&bed, "when they shall not be pinned").await?;
        drop(controller);
        bed.stop().await
    });
}
