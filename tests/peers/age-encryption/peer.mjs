// Answers questions about age with the npm package `age-encryption`.
//
// Each line on stdin is a question and each line on stdout its answer, both JSON, in the same order; bytes are
// standard base64. What the package refuses is an answer too: {"refused": "why"}. Anything else that goes wrong ends
// the program.
//
//   {"ask": "keygen", "kind": "hybrid" or "x25519"}          {"identity": …, "recipient": …}
//   {"ask": "recipient", "identity": …}                      {"recipient": …}
//   {"ask": "encrypt", "recipients": […], "text": bytes}     {"file": bytes}
//       a recipient that is an array becomes a stanza with these arguments and no body
//   {"ask": "decrypt", "identities": […], "file": bytes}     {"text": bytes}

import { createInterface } from "node:readline";
import {
  Decrypter,
  Encrypter,
  generateHybridIdentity,
  generateX25519Identity,
  identityToRecipient,
  Stanza,
} from "age-encryption";

const generators = { hybrid: generateHybridIdentity, x25519: generateX25519Identity };

const asks = {
  async keygen({ kind }) {
    const identity = await generators[kind]();
    return { identity, recipient: await identityToRecipient(identity) };
  },
  async recipient({ identity }) {
    return { recipient: await identityToRecipient(identity) };
  },
  async encrypt({ recipients, text }) {
    const encrypter = new Encrypter();
    for (const recipient of recipients) encrypter.addRecipient(Array.isArray(recipient) ? bare(recipient) : recipient);
    return { file: toBase64(await encrypter.encrypt(fromBase64(text))) };
  },
  async decrypt({ identities, file }) {
    const decrypter = new Decrypter();
    for (const identity of identities) decrypter.addIdentity(identity);
    return { text: toBase64(await decrypter.decrypt(fromBase64(file))) };
  },
};

function bare(args) {
  return { wrapFileKey: () => [new Stanza(args, new Uint8Array())] };
}

function fromBase64(text) {
  return new Uint8Array(Buffer.from(text, "base64"));
}

function toBase64(bytes) {
  return Buffer.from(bytes).toString("base64");
}

for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
  const question = JSON.parse(line);
  if (!Object.hasOwn(asks, question.ask)) throw new Error(`no such question: ${question.ask}`);
  let answer;
  try {
    answer = await asks[question.ask](question);
  } catch (error) {
    answer = { refused: String(error?.message ?? error) };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
}
