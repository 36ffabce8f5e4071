// What the page says, in the languages it speaks. {name} is replaced by a value.

const ENGLISH = {
  studio: "studio", skip: "Skip to the videos", language: "Language",
  make: "Make a video", mode: "From", t2v: "Text", i2v: "A picture", r2v: "References", edit: "A video",
  prompt: "Prompt", provider: "Account", version: "Version", resolution: "Resolution", ratio: "Aspect ratio",
  duration: "Seconds", seed: "Seed", watermark: "Watermark", audio: "Sound", default: "Default",
  automatic: "Automatic", on: "On", off: "Off", auto: "The model decides", origin: "The source's sound",
  plan: "Before it is sent", submit: "Make the video", videos: "Videos", empty: "No videos yet. What you make appears here.", close: "Close",
  image: "First frame", images: "Reference pictures", video: "Source video",
  drop: "Drop a file here, paste it, or choose one.", choose: "Choose a file", orUrl: "or its URL", remove: "Remove {name}",
  uploading: "{name}: {percent} %", tooLarge: "{name} is larger than any provider takes ({limit} MB)",
  notHere: "{option} {value}: not at {account} for this model; {others} has it",
  nowhere: "{option}: not at {account} for this model", noMode: "{account} makes no video from this; {others} does",
  goesTo: "Goes to {provider} as {model}", price: "Price: {price}", cost: "Cost: {price}", noPrice: "No price is published.", nothingPaid: "Nothing is paid: this is an emulator.",
  media_url: "{name}: the provider fetches the URL", media_inline: "{name}: sent inside the request ({size})",
  media_upload: "{name}: uploaded to the provider's storage first ({size})", message: "The exact message",
  emulator: "This is an emulator on your machine. Its videos are test pictures, and nothing is paid. Nothing is kept when it ends.",
  unreachable: "The studio does not answer. Is it still running on the terminal?",
  QUEUED: "Queued", SUBMITTING: "Being submitted", ACCEPTED: "At the provider", RUNNING: "Being made",
  OUTCOME_UNKNOWN: "Outcome unknown", SUCCEEDED: "Finished", FAILED: "Failed", CANCELED: "Cancelled", EXPIRED: "Expired",
  REFUSED: "Refused", WITHDRAWN: "Withdrawn", WRITTEN_OFF: "Written off",
  elapsed: "{elapsed}", elapsedUsual: "{elapsed}, usually {usual}", saving: "The video is being saved.",
  until: "The provider keeps it until {time}.", saved: "Saved ({size}).", billed: "Billed: {seconds} s {resolution}",
  cancel: "Cancel", resume: "Follow", save: "Download", again: "Use again", settle: "Settle", file: "Open the file",
  noPrompt: "Without a prompt", settleTitle: "What became of it?",
  settleText: "The request was sent and no answer came. It may have been billed, so it is not sent again.",
  candidates: "Tasks at the provider that may be this one:", noCandidates: "No task in the provider's list matches it.",
  noList: "The provider has no list to search. Look for the task in its console.", adopt: "This is it: {ref}",
  writeOff: "There is no task: write it off", ready: "{name}: ready", rate: "{account} · {rate}/s", rateMeaning: "Accounts, and the status requests a second that each allows now",
  queued: "{count} queued", running: "{count} at the provider", accountError: "last request failed ({error})",
  storeError: "The journal cannot be read: {error}", finished: "A video is finished: {prompt}", rejectedBy: "Not at {provider}: {reason}",
};

const CHINESE = {
  studio: "工作室", skip: "跳到视频列表", language: "语言",
  make: "制作视频", mode: "来源", t2v: "文字", i2v: "图片", r2v: "参考图", edit: "视频",
  prompt: "提示词", provider: "账号", version: "版本", resolution: "分辨率", ratio: "宽高比",
  duration: "秒数", seed: "随机种子", watermark: "水印", audio: "声音", default: "默认",
  automatic: "自动", on: "开", off: "关", auto: "由模型决定", origin: "保留原声",
  plan: "发送之前", submit: "制作视频", videos: "视频", empty: "还没有视频。制作的视频会显示在这里。", close: "关闭",
  image: "首帧图片", images: "参考图片", video: "源视频",
  drop: "把文件拖到这里、粘贴或选择一个。", choose: "选择文件", orUrl: "或填写网址", remove: "移除 {name}",
  uploading: "{name}：{percent} %", tooLarge: "{name} 超过了所有服务商的上限（{limit} MB）",
  notHere: "{option} {value}：{account} 的这个模型不支持；{others} 支持",
  nowhere: "{option}：{account} 的这个模型不支持", noMode: "{account} 不支持这种来源；{others} 支持",
  goesTo: "发送到 {provider}，模型 {model}", price: "价格：{price}", cost: "费用：{price}", noPrice: "没有公布价格。", nothingPaid: "不产生费用：这是模拟器。",
  media_url: "{name}：由服务商读取网址", media_inline: "{name}：随请求发送（{size}）",
  media_upload: "{name}：先上传到服务商的存储（{size}）", message: "完整的请求",
  emulator: "这是本机上的模拟器。视频是测试画面，不产生费用；结束后不保留任何内容。",
  unreachable: "工作室没有响应。它还在终端中运行吗？",
  QUEUED: "排队中", SUBMITTING: "提交中", ACCEPTED: "服务商已接收", RUNNING: "生成中",
  OUTCOME_UNKNOWN: "结果未知", SUCCEEDED: "已完成", FAILED: "失败", CANCELED: "已取消", EXPIRED: "已过期",
  REFUSED: "被拒绝", WITHDRAWN: "已撤回", WRITTEN_OFF: "已注销",
  elapsed: "{elapsed}", elapsedUsual: "{elapsed}，通常 {usual}", saving: "正在保存视频。",
  until: "服务商保留到 {time}。", saved: "已保存（{size}）。", billed: "计费：{seconds} 秒 {resolution}",
  cancel: "取消", resume: "继续跟踪", save: "下载", again: "再次使用", settle: "处理", file: "打开文件",
  noPrompt: "没有提示词", settleTitle: "它的结果是什么？",
  settleText: "请求已发出，但没有收到响应。它可能已经计费，因此不会再次发送。",
  candidates: "服务商处可能对应的任务：", noCandidates: "服务商的列表中没有匹配的任务。",
  noList: "服务商没有任务列表。请在其控制台中查找。", adopt: "就是它：{ref}",
  writeOff: "没有这个任务：注销", ready: "{name}：就绪", rate: "{account} · {rate}/秒", rateMeaning: "各账号，以及目前每秒允许的状态查询次数",
  queued: "{count} 个排队", running: "{count} 个在服务商处", accountError: "上次请求失败（{error}）",
  storeError: "无法读取任务日志：{error}", finished: "视频已完成：{prompt}", rejectedBy: "{provider} 不可用：{reason}",
};

const LANGUAGES = { en: ENGLISH, zh: CHINESE };
let chosen = "en";

export const language = () => chosen;

export function preferredLanguage() {
  const stored = localStorage.getItem("language");
  if (stored in LANGUAGES) return stored;
  return navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";
}

export function text(name, values = {}) {
  const found = LANGUAGES[chosen][name] ?? ENGLISH[name] ?? name;
  return found.replace(/\{(\w+)\}/g, (_, key) => String(values[key] ?? ""));
}

export function speak(code) {
  chosen = code in LANGUAGES ? code : "en";
  localStorage.setItem("language", chosen);
  document.documentElement.lang = chosen === "zh" ? "zh-Hans" : "en";
  for (const element of document.querySelectorAll("[data-text]")) element.textContent = text(element.dataset.text);
}

export const bytes = (size) => (size >= 1e6 ? `${(size / 1e6).toFixed(1)} MB` : `${Math.ceil(size / 1e3)} kB`);

export function clock(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const [minutes, rest] = [Math.floor(whole / 60), String(whole % 60).padStart(2, "0")];
  return minutes < 60 ? `${minutes}:${rest}` : `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${rest}`;
}

export const moment = (iso) => new Date(iso).toLocaleString(chosen === "zh" ? "zh-CN" : "en-GB", { dateStyle: "short", timeStyle: "short" });
