// How messages to and from a worker are written: Node's `serialization`, `json` or `advanced`.
//
// lib/node-cluster/worker-process.js writes with it, and whoever receives messages reads. Between here and the addon
// travels a text: lines of JSON or, for `advanced`, one character for each byte. Owns nothing.
'use strict';

const v8 = require('node:v8');

// How Node marks an object that V8 can't write by itself: a view of a buffer, or one that is written as a plain object.
const VIEW = 0;
const PLAIN = 1;
// The length before each message that arrives.
const PREFIX = 4;

class Serializer extends v8.DefaultSerializer {
  _writeHostObject(object) {
    if (ArrayBuffer.isView(object)) {
      this.writeUint32(VIEW);
      super._writeHostObject(object);
      return;
    }
    this.writeUint32(PLAIN);
    this.writeValue({ ...object });
  }
}

class Deserializer extends v8.DefaultDeserializer {
  _readHostObject() {
    return this.readUint32() === VIEW ? super._readHostObject() : this.readValue();
  }
}

const json = {
  write: (message) => JSON.stringify(message),
  /** What is written to be sent at once, in as few pieces as can be. */
  joined: (texts) => [texts.join('\n')],
  /** All messages of `text`; a line that is no JSON can't come from Node, and is left out. */
  read: readLines,
  /** `{kind, key, message}` of a message that brought a handle, of which the addon knows `kind` and `key`. */
  readWithHandle: (known, text) => ({ ...known, message: JSON.parse(text) }),
};

const advanced = {
  write(message) {
    const serializer = new Serializer();
    serializer.writeHeader();
    serializer.writeValue(message);
    return serializer.releaseBuffer().latin1Slice();
  },

  joined: (texts) => texts,

  read(text) {
    const bytes = Buffer.from(text, 'latin1');
    const messages = [];
    for (let at = 0; at + PREFIX <= bytes.length;) {
      const end = at + PREFIX + bytes.readUInt32BE(at);
      messages.push(deserialize(bytes.subarray(at + PREFIX, end)));
      at = end;
    }
    return messages;
  },

  readWithHandle(_, text) {
    const { type, dgramType, key, msg } = deserialize(Buffer.from(text, 'latin1'));
    return { kind: dgramType ?? type, key, message: msg };
  },
};

module.exports = { json, advanced };

function deserialize(bytes) {
  const deserializer = new Deserializer(bytes);
  deserializer.readHeader();
  return deserializer.readValue();
}

// All at once is cheaper by far; one by one it is when a line among them is no JSON.
function readLines(text) {
  try {
    return text.includes('\n') ? JSON.parse(`[${text.replaceAll('\n', ',')}]`) : [JSON.parse(text)];
  } catch {
    return text.split('\n').flatMap((line) => parsed(line));
  }
}

function parsed(line) {
  try {
    return [JSON.parse(line)];
  } catch {
    return [];
  }
}
