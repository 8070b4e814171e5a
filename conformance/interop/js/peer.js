// The js-libp2p side of the interop table, with the command line that the peers of all implementations
// share (conformance/interop/PROTOCOLS.md):
//
//   peer.js peer listen [--transport tcp] [--security noise|tls] [--topic T] [--message-bytes N,...] [--connect ADDR]...
//   peer.js peer dial ADDR --do ping,identify,echo[,gossip,kad] [--size BYTES] [--security noise|tls] [--topic T]
//
// listen prints `LISTEN <multiaddr>`, then one line of JSON an event, and serves until it gets SIGINT or
// SIGTERM. dial prints one line of JSON a check, and exits 0 only if all passed. A wrong command line
// exits 2.

import { once } from 'node:events'
import { parseArgs } from 'node:util'
import { multiaddr } from '@multiformats/multiaddr'
import { CHECKS, runChecks } from './checks.js'
import { joinGossip } from './gossip.js'
import { newNode, serveEcho } from './host.js'

const DEFAULT_TOPIC = 'interop'
const DIAL_TIMEOUT_MS = 60_000

const USAGE = `usage: peer.js peer listen [--transport tcp] [--security noise|tls] [--topic T] [--message-bytes N,...] [--connect ADDR]...
       peer.js peer dial ADDR --do ping,identify,echo[,gossip,kad] [--size BYTES] [--security noise|tls] [--topic T]`

class UsageError extends Error {}

/** @returns {Promise<number>} the exit code */
async function main (args) {
  if (Number(process.versions.node.split('.')[0]) < 22) {
    console.error(`js-peer: Node ${process.versions.node} is too old; js-libp2p needs 22 or newer`)
    return 1
  }
  try {
    if (args[0] !== 'peer') {
      throw new UsageError(`unknown command ${args[0]}`)
    }
    switch (args[1]) {
      case 'listen': return await listen(args.slice(2))
      case 'dial': return await dial(args.slice(2))
      default: throw new UsageError(`unknown command ${args[1]}`)
    }
  } catch (error) {
    if (error instanceof UsageError) {
      console.error(`${error.message}\n${USAGE}`)
      return 2
    }
    console.error('js-peer:', oneLine(error))
    return 1
  }
}

async function listen (args) {
  const { values } = parse(args, 0, {
    transport: { type: 'string', default: 'tcp' },
    'message-bytes': { type: 'string', default: '' },
    connect: { type: 'string', multiple: true, default: [] }
  })
  if (values.transport !== 'tcp') {
    throw new UsageError(`this peer has no transport ${values.transport}`)
  }
  if (!/^(\d+(,\d+)*)?$/.test(values['message-bytes'])) {
    throw new UsageError(`not numbers of bytes: ${values['message-bytes']}`)
  }
  const lengths = values['message-bytes'].split(',').filter(text => text !== '').map(Number)
  const connect = values.connect.map(parseAddr)
  const node = await newNode({ security: values.security, topic: values.topic, listen: true })
  reportPeers(node)
  await serveEcho(node, printLine)
  if (values.topic != null) {
    joinGossip(node, values.topic, lengths, printLine)
  }
  console.log(`LISTEN ${node.getMultiaddrs()[0]}`)
  for (const addr of connect) {
    await node.dial(addr, { signal: AbortSignal.timeout(DIAL_TIMEOUT_MS) })
  }
  await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')])
  await node.stop()
  return 0
}

async function dial (args) {
  const { values, positionals } = parse(args, 1, {
    do: { type: 'string', default: 'ping,identify,echo' },
    size: { type: 'string', default: String(16 * 1024 * 1024) }
  })
  const addr = parseAddr(positionals[0])
  const checks = values.do.split(',')
  const unknown = checks.find(name => CHECKS[name] == null)
  if (unknown != null) {
    throw new UsageError(`unknown check ${unknown}`)
  }
  const size = Number(values.size)
  if (!/^\d+$/.test(values.size) || !Number.isSafeInteger(size)) {
    throw new UsageError(`not a number of bytes: ${values.size}`)
  }
  const topic = values.topic ?? (checks.includes('gossip') ? DEFAULT_TOPIC : undefined)
  const node = await newNode({ security: values.security, topic, listen: false })
  // A remote may open streams on this connection too; what it does is not this side's to print.
  await serveEcho(node, () => {})
  const gossip = topic == null ? undefined : joinGossip(node, topic, [], () => {})
  let passed = false
  try {
    const connection = await node.dial(addr, { signal: AbortSignal.timeout(DIAL_TIMEOUT_MS) })
    passed = await runChecks(checks, { node, connection, size, gossip }, printLine)
  } catch (error) {
    printLine({ check: 'dial', ok: false, error: oneLine(error) })
  }
  await node.stop()
  return passed ? 0 : 1
}

function parse (args, positionals, options) {
  let parsed
  try {
    parsed = parseArgs({
      args,
      options: { security: { type: 'string', default: 'noise' }, topic: { type: 'string' }, ...options },
      allowPositionals: true
    })
  } catch (error) {
    throw new UsageError(error.message)
  }
  if (parsed.positionals.length !== positionals) {
    throw new UsageError(`${parsed.positionals.length} arguments where ${positionals} belong`)
  }
  if (!['noise', 'tls'].includes(parsed.values.security)) {
    throw new UsageError(`unknown security ${parsed.values.security}`)
  }
  return parsed
}

function parseAddr (text) {
  try {
    return multiaddr(text)
  } catch (error) {
    throw new UsageError(error.message)
  }
}

/** Prints who connects, who they say they are, and who leaves. */
function reportPeers (node) {
  node.addEventListener('peer:connect', ({ detail }) => {
    printLine({ event: 'connected', peer: detail.toString() })
  })
  node.addEventListener('peer:identify', ({ detail }) => {
    const { peerId, agentVersion, protocols } = detail
    printLine({ event: 'identified', peer: peerId.toString(), agent: agentVersion, protocols })
  })
  node.addEventListener('peer:disconnect', ({ detail }) => {
    printLine({ event: 'disconnected', peer: detail.toString() })
  })
}

function printLine (value) {
  console.log(JSON.stringify(value))
}

function oneLine (error) {
  return String(error?.message ?? error).split(/\s+/).join(' ')
}

process.exit(await main(process.argv.slice(2)))
