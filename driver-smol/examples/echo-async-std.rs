//! Two nodes: one echoes what the other says.
//! `cargo run -p sanspeer-smol --features async-std --example echo-async-std`

use async_std::task::{block_on, spawn};
use futures::io::{AsyncReadExt, AsyncWriteExt, copy};
use sanspeer_smol::on_async_std::start;
use sanspeer_smol::{Config, sanspeer_core::protocol::ProtocolId};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    block_on(async {
        let echo = ProtocolId::new("/example/echo/1.0.0").expect("a valid protocol id");
        let bob = start(Config::ephemeral()?)?;
        let (_, address) = bob.listen("/ip4/127.0.0.1/tcp/0".parse()?).await?;
        let mut streams = bob.accept(echo.clone()).await?;
        let serve = spawn(async move {
            let (reader, mut writer) = streams.accept().await.expect("a stream").split();
            copy(reader, &mut writer).await?;
            writer.close().await
        });
        let alice = start(Config::ephemeral()?)?;
        let mut stream = alice.open_stream(alice.dial(address).await?, &[echo]).await?;
        stream.write_all(b"hello").await?;
        stream.close().await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        println!("{} answered {answer}", stream.peer());
        Ok(serve.await?)
    })
}
