import { createHash } from 'node:crypto'
import { ECHO_PROTOCOL, unboundedByteStream } from './host.js'

const CHECK_TIMEOUT_MS = 60_000
const CHUNK_BYTES = 64 * 1024

/** Each takes what the checks of one dial share and a signal, and answers what it got. */
export const CHECKS = { ping, identify, echo, gossip, kad }

/** Does every check, also those after one that failed, and answers whether all passed. */
export async function runChecks (names, shared, printLine) {
  let passed = true
  for (const check of names) {
    try {
      const got = await CHECKS[check](shared, AbortSignal.timeout(CHECK_TIMEOUT_MS))
      printLine({ check, ok: true, got })
    } catch (error) {
      passed = false
      printLine({ check, ok: false, error: error.message })
    }
  }
  return passed
}

async function ping ({ node, connection }, signal) {
  const rttMs = await node.services.ping.ping(connection.remotePeer, { signal })
  return { rtt_us: Math.round(rttMs * 1000) }
}

async function identify ({ node, connection }, signal) {
  const { agentVersion, protocols } = await node.services.identify.identify(connection, { signal })
  if (agentVersion == null || agentVersion === '') {
    throw new Error('the agent is empty')
  }
  if (!protocols.includes(ECHO_PROTOCOL)) {
    throw new Error(`the remote does not list ${ECHO_PROTOCOL}, but ${protocols}`)
  }
  return { agent: agentVersion, protocols: protocols.toSorted() }
}

/** Writes and reads at once, and compares length and SHA-256. */
async function echo ({ connection, size }, signal) {
  const stream = await connection.newStream(ECHO_PROTOCOL, { signal })
  try {
    const bytes = unboundedByteStream(stream)
    const [sent, received] = await Promise.all([writePattern(stream, bytes, size, signal), readAll(bytes, signal)])
    if (received.bytes !== size) {
      throw new Error(`${received.bytes} of ${size} bytes came back`)
    }
    if (received.sum !== sent.sum) {
      throw new Error(`SHA-256 of what came back is ${received.sum}, of what was sent ${sent.sum}`)
    }
  } catch (error) {
    stream.abort(error)
    throw error
  }
  return { bytes: size }
}

async function writePattern (stream, bytes, size, signal) {
  const pattern = Uint8Array.from({ length: CHUNK_BYTES }, (_, i) => i * 31 + (i >> 8))
  const hash = createHash('sha256')
  for (let left = size; left > 0; left -= CHUNK_BYTES) {
    const chunk = pattern.subarray(0, Math.min(left, CHUNK_BYTES))
    hash.update(chunk)
    await bytes.write(chunk, { signal })
  }
  await stream.close({ signal })
  return { sum: hash.digest('hex') }
}

async function readAll (bytes, signal) {
  const hash = createHash('sha256')
  const received = { bytes: 0 }
  for (let chunk = await bytes.read({ signal }); chunk != null; chunk = await bytes.read({ signal })) {
    hash.update(chunk.subarray())
    received.bytes += chunk.byteLength
  }
  return { ...received, sum: hash.digest('hex') }
}

/** Passes when a message that the remote has published arrives. */
async function gossip ({ connection, gossip }, signal) {
  return gossip.waitFor(connection.remotePeer, signal)
}

async function kad () {
  throw new Error('kad is not built yet')
}
