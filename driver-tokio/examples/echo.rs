//! Two nodes: one echoes what the other says. `cargo run -p sanspeer-tokio --example echo`

use sanspeer_tokio::sanspeer_core::{identity::Identity, protocol::ProtocolId, rng::Seed};
use sanspeer_tokio::{Config, start};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, split};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let echo = ProtocolId::new("/example/echo/1.0.0").expect("a valid protocol id");
    let bob = start(Config::new(Identity::ed25519(&Seed::from_u64(1))))?;
    let (_, address) = bob.listen("/ip4/127.0.0.1/udp/0/quic-v1".parse()?).await?;
    let mut streams = bob.accept(echo.clone()).await?;
    tokio::spawn(async move {
        while let Some(stream) = streams.accept().await {
            let (mut reader, mut writer) = split(stream);
            tokio::spawn(async move {
                copy(&mut reader, &mut writer).await?;
                writer.shutdown().await
            });
        }
    });
    let alice = start(Config::new(Identity::ed25519(&Seed::from_u64(2))))?;
    let mut stream = alice.open_stream(alice.dial(address).await?, &[echo]).await?;
    stream.write_all(b"hello").await?;
    stream.shutdown().await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    println!("{} answered {answer}", stream.peer());
    Ok(())
}
