'use strict';

// What the JavaScript of this project must look like: mistakes first, then the few rules of layout that keep
// diffs small. `npm run format` mends what can be mended.

const js = require('@eslint/js');
const stylistic = require('@stylistic/eslint-plugin');

const NODE = ['require', 'module', 'exports', '__dirname', '__filename', 'process', 'Buffer', 'console', 'URL',
  'setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'setImmediate', 'clearImmediate', 'queueMicrotask',
  'AbortController', 'AbortSignal', 'TextDecoder', 'TextEncoder', 'URLSearchParams', 'fetch', 'performance',
  'structuredClone', 'Event', 'EventTarget', 'BroadcastChannel', 'MessageChannel'];
// An application may replace them.
const TIMERS = ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'setImmediate', 'performance'];
const FROM_OURS = 'Take it from lib/shared/timers.js.';
const BROWSER = ['document', 'window', 'EventSource', 'FormData'];
const MOCHA = ['describe', 'it', 'before', 'beforeEach', 'after', 'afterEach', 'context', 'specify'];

function readonly(names) {
  return Object.fromEntries(names.map((name) => [name, 'readonly']));
}

module.exports = [
  { ignores: ['target/', '.cache/', 'npm/', 'native.js', 'examples/next/.next/'] },
  {
    ...js.configs.recommended,
    files: ['**/*.js'],
    languageOptions: { ecmaVersion: 2022, sourceType: 'commonjs', globals: readonly(NODE) },
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    plugins: { style: stylistic },
    rules: {
      ...js.configs.recommended.rules,
      'no-unused-vars': ['error', { varsIgnorePattern: '^_', argsIgnorePattern: '^_', caughtErrors: 'none' }],
      'no-var': 'error',
      'prefer-const': 'error',
      'eqeqeq': ['error', 'always', { null: 'ignore' }],
      'strict': ['error', 'global'],
      'style/eol-last': 'error',
      'style/indent': ['error', 2, { SwitchCase: 1, MemberExpression: 'off', flatTernaryExpressions: true }],
      'style/keyword-spacing': 'error',
      'style/max-len': ['error', { code: 120, ignoreUrls: true, ignoreRegExpLiterals: true }],
      'style/no-tabs': 'error',
      'style/no-trailing-spaces': 'error',
      'style/object-curly-spacing': ['error', 'always'],
      'style/quotes': ['error', 'single', { avoidEscape: true, allowTemplateLiterals: 'avoidEscape' }],
      'style/semi': ['error', 'always'],
      'style/space-before-blocks': 'error',
    },
  },
  {
    files: ['lib/**/*.js'],
    ignores: ['lib/cli/**', 'lib/shared/timers.js'],
    rules: { 'no-restricted-globals': ['error', ...TIMERS.map((name) => ({ name, message: FROM_OURS }))] },
  },
  // Older versions of Node read these, and are told that they are too old.
  {
    files: ['lib/shared/check-node.js', 'index.js', 'cluster.js', 'register.js', 'bin/cluster2.js'],
    languageOptions: { ecmaVersion: 2015 },
  },
  { files: ['**/*.mjs'], languageOptions: { ecmaVersion: 2022, sourceType: 'module', globals: readonly(NODE) } },
  { files: ['src/monitor/views/assets/*.js'], languageOptions: { globals: readonly(BROWSER) } },
  { files: ['test/monitor/page.test.js'], languageOptions: { globals: readonly(BROWSER) } },
  { files: ['test/**/*.js'], languageOptions: { globals: readonly(MOCHA) } },
];
