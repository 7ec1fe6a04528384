// Makes the replica set and the user of marketflow, or brings the password of that user up to date. Can be repeated.
// mongosh --nodb --file mongodb-init.js; the environment names HOST (host:port), DATABASE, and two files of passwords.
const fs = require("fs");
const secret = (name) => fs.readFileSync(process.env[name], "utf8").replace(/[\r\n]+$/, "");
const host = process.env.HOST;
const root = encodeURIComponent(secret("ROOT_PASSWORD_FILE"));
const admin = connect(`mongodb://root:${root}@${host}/admin?directConnection=true`);

try {
  admin.adminCommand({ replSetGetStatus: 1 }).ok || quit(1);
} catch (error) {
  if (error.codeName !== "NotYetInitialized") throw error;
  admin.adminCommand({ replSetInitiate: { _id: "rs0", members: [{ _id: 0, host }] } });
}
while (!admin.hello().isWritablePrimary) sleep(200);

const user = { pwd: secret("PASSWORD_FILE"), roles: [{ role: "readWrite", db: process.env.DATABASE }] };
if (admin.getUser("marketflow")) admin.updateUser("marketflow", user);
else admin.createUser({ user: "marketflow", ...user });
print(`marketflow may use ${process.env.DATABASE} at ${host}`);
