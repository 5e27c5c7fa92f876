// A registry of packages on this machine, for tests that install as a user does: it knows what it is given, and nothing
// else, so that no test depends on a network. Whoever opens it closes it.
'use strict';

const { createHash } = require('node:crypto');
const fs = require('node:fs');
const http = require('node:http');

/**
 * Serves `[{manifest, tarball}]`; without a tarball a package can be seen and not be fetched. Resolves with `{url,
 * fetched, close}`; `fetched` names the packages whose tarballs were asked for.
 */
async function openRegistry(packages) {
  const fetched = [];
  const server = http.createServer((request, response) => {
    const [, name, isTarball] = /^\/([^/]+?)(\.tgz)?$/.exec(decodeURIComponent(request.url)) ?? [];
    const known = packages.find(({ manifest }) => manifest.name === name);
    if (isTarball) fetched.push(name);
    if (known === undefined || (isTarball && !known.tarball)) response.writeHead(404).end('{}');
    else if (isTarball) response.end(fs.readFileSync(known.tarball));
    else response.end(JSON.stringify(documentOf(known, url)));
  });
  await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  const url = `http://127.0.0.1:${server.address().port}`;
  const close = () => {
    server.close();
    server.closeAllConnections?.();
  };
  return { url, fetched, close };
}

// What npm asks for first: the versions that there are, here one.
function documentOf({ manifest, tarball }, url) {
  const { name, version } = manifest;
  const content = tarball ? fs.readFileSync(tarball) : Buffer.alloc(0);
  const integrity = `sha512-${createHash('sha512').update(content).digest('base64')}`;
  const dist = { tarball: `${url}/${name}.tgz`, integrity };
  return { name, 'dist-tags': { latest: version }, versions: { [version]: { ...manifest, dist } } };
}

module.exports = { openRegistry };
