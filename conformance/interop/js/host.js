import { gossipsub } from '@libp2p/gossipsub'
import { identify, identifyPush } from '@libp2p/identify'
import { noise } from '@libp2p/noise'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { tls } from '@libp2p/tls'
import { byteStream } from '@libp2p/utils'
import { yamux } from '@libp2p/yamux'
import { createLibp2p } from 'libp2p'

export const ECHO_PROTOCOL = '/interop/echo/1.0.0'

/**
 * One transport, one security protocol and yamux. Gossip only where there is a topic, because a peer
 * that has the protocol is asked for it.
 */
export async function newNode ({ security, topic, listen }) {
  const services = { identify: identify(), identifyPush: identifyPush(), ping: ping() }
  if (topic != null) {
    services.pubsub = gossipsub({ allowPublishToZeroTopicPeers: true, msgIdFn: specifiedMessageId })
  }
  return createLibp2p({
    addresses: { listen: listen ? ['/ip4/127.0.0.1/tcp/0'] : [] },
    transports: [tcp()],
    connectionEncrypters: [security === 'tls' ? tls() : noise()],
    streamMuxers: [yamux()],
    services
  })
}

/**
 * The id of the specification: the author, then the sequence number. js-libp2p's own has the author's
 * public key instead, so that its IHAVE and IWANT mean nothing to the others, nor theirs to it.
 */
function specifiedMessageId ({ from, sequenceNumber }) {
  const author = from.toMultihash().bytes
  const id = new Uint8Array(author.length + 8)
  id.set(author)
  new DataView(id.buffer).setBigUint64(author.length, sequenceNumber)
  return id
}

/** Echoes as it reads. */
export async function serveEcho (node, printLine) {
  await node.handle(ECHO_PROTOCOL, async (stream, connection) => {
    const line = { event: 'echo', peer: connection.remotePeer.toString(), bytes: 0, ok: true }
    try {
      const bytes = unboundedByteStream(stream)
      for (let chunk = await bytes.read(); chunk != null; chunk = await bytes.read()) {
        line.bytes += chunk.byteLength
        await bytes.write(chunk)
      }
      await stream.close()
    } catch (error) {
      line.ok = false
      line.error = error.message
      stream.abort(error)
    }
    printLine(line)
  })
}

/**
 * js-libp2p grants window for what has arrived, not for what was read, and resets a stream whose reader
 * is 4 MiB behind. An echo of any size may be that far behind while it waits for its writes.
 */
export function unboundedByteStream (stream) {
  return byteStream(stream, { maxBufferSize: Infinity })
}
