import { once } from 'node:events'

const PUBLISH_INTERVAL_MS = 1000

/** How much of a message is printed. */
const MAX_PRINTED = 100

/**
 * Subscribes to a topic, publishes on it once a second, and prints what the others publish. Messages are
 * filled up to the lengths, which take turns.
 */
export function joinGossip (node, topic, lengths, printLine) {
  const { pubsub } = node.services
  /** The first message of each peer. */
  const first = new Map()
  const arrivals = new EventTarget()
  pubsub.addEventListener('message', ({ detail: message }) => {
    if (message.topic !== topic || message.from == null || node.peerId.equals(message.from)) {
      return
    }
    const from = message.from.toString()
    const data = new TextDecoder().decode(message.data.subarray(0, MAX_PRINTED)).trimEnd()
    const line = { topic, from, data, bytes: message.data.byteLength }
    printLine({ event: 'gossip', ...line })
    if (!first.has(from)) {
      first.set(from, line)
      arrivals.dispatchEvent(new Event(from))
    }
  })
  pubsub.subscribe(topic)

  let number = 0
  const timer = setInterval(() => {
    const length = lengths[number % lengths.length] ?? 0
    const data = new TextEncoder().encode(`${number++} from ${node.peerId}`.padEnd(length))
    pubsub.publish(topic, data).catch(error => console.error('js-peer: publish:', error.message))
  }, PUBLISH_INTERVAL_MS)
  node.addEventListener('stop', () => clearInterval(timer))

  return {
    /** Answers the first message that a peer has published. */
    async waitFor (peer, signal) {
      const from = peer.toString()
      if (!first.has(from)) {
        await once(arrivals, from, { signal })
      }
      return first.get(from)
    }
  }
}
