// Whatever is given as options is understood or refused with a code.
'use strict';

const assert = require('node:assert/strict');

const fc = require('fast-check');

const errors = require('../../lib/shared/errors');
const { load } = require('../../lib/shared/native');
const { encode } = require('../../lib/shared/options-json');
const { holds } = require('../support/properties');

const CODE = /^ERR_CLUSTER2_/;

const strange = fc.anything({
  withBigInt: true, withDate: true, withMap: true, withNullPrototype: true, withObjectString: true, withSet: true,
  withSparseArray: true, withTypedArray: true, maxDepth: 6,
});
const functions = fc.constantFrom(() => {}, class {}, Object.assign(() => {}, { toString: null }),
  Object.defineProperty(() => {}, 'name', { value: Symbol('name') }));
const value = fc.oneof(
  { weight: 3, arbitrary: strange },
  functions,
  fc.constantFrom(0, -0, 1, 80, 3000, 65535, 65536, 2 ** 31, 2 ** 53, 2 ** 64, -1, 0.5, NaN, Infinity, '0', '80', ' 1 ',
    '1e3', '10s', 'slots', 'rr', '::', '::1', '127.0.0.1', 'fe80::1%lo', '/tmp/x.sock', '', '\0', Symbol('s'), 2n),
);

function parsed(given) {
  return load().parseOptions(encode(given));
}

function refused(given) {
  try {
    parsed(given);
    return undefined;
  } catch (error) {
    return errors.fromNative(error);
  }
}

describe('options of any kind', () => {
  let names;

  before(() => {
    names = Object.keys(parsed({}).options);
  });

  it('are written as JSON, whatever they are', () => {
    holds(fc.property(value, (given) => {
      const text = JSON.stringify(encode(given));
      assert.deepEqual(JSON.parse(text), JSON.parse(JSON.stringify(JSON.parse(text))));
    }), 2000);
  });

  it('are understood, or refused with a code and the name of the option', () => {
    const options = fc.dictionary(fc.constantFrom(...names), value, { maxKeys: 4 });
    holds(fc.property(options, (given) => {
      const error = refused(given);
      if (!error) return;
      assert.match(error.code, CODE);
      assert.ok(Object.keys(given).some((name) => error.message.includes(name)), error.message);
    }), 2000);
  });

  it('are understood, or refused with a code, where there are no options at all', () => {
    holds(fc.property(value, (given) => {
      const error = refused(given);
      if (error) assert.match(error.code, CODE);
    }), 1000);
  });

  it('mean the same when what was understood is given again', () => {
    // Without ECV there is nothing to show, and nothing given means the usual ECV. With `exec` no port may be given,
    // and some options go with it only.
    const left = new Set(['ecv', 'exec', 'args', 'nodeArgs', 'env', 'instanceEnv', 'waitReady']);
    const others = names.filter((name) => !left.has(name));
    const options = fc.dictionary(fc.constantFrom(...others), value, { maxKeys: 3 });
    holds(fc.property(options, (given) => {
      if (refused(given)) return;
      const once = parsed(given).options;
      assert.deepEqual(parsed(once).options, once);
    }), 2000);
  });
});
