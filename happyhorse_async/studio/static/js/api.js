// Requests to the studio's own server. An error has the server's sentence.

export class ApiError extends Error {
  constructor(message, { type = "", code = null, status = 0 } = {}) {
    super(message);
    this.type = type;
    this.code = code;
    this.status = status;
  }
}

async function answer(response) {
  if (response.ok) return response.json();
  let error = {};
  try {
    error = (await response.json()).error ?? {};
  } catch {
    // Not JSON: the status has to do.
  }
  throw new ApiError(error.message ?? `HTTP ${response.status}`, { ...error, status: response.status });
}

async function send(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new ApiError("", { type: "Unreachable" });
  }
  return answer(response);
}

export const get = (path) => send(path);

export const post = (path, data = {}, signal = undefined) =>
  send(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(data), signal });

// With progress, which fetch does not tell of a body on its way up.
export function upload(file, onProgress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", "/api/media");
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.upload.addEventListener("progress", (event) => onProgress(event.loaded, event.total));
    request.addEventListener("error", () => reject(new ApiError("", { type: "Unreachable" })));
    request.addEventListener("load", () => {
      let data = {};
      try {
        data = JSON.parse(request.responseText);
      } catch {
        // As above.
      }
      if (request.status === 200) resolve(data);
      else reject(new ApiError(data.error?.message ?? `HTTP ${request.status}`, { ...data.error, status: request.status }));
    });
    request.send(file);
  });
}
