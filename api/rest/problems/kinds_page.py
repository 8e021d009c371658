"""The page behind every problem's ``type``, in English and Chinese."""

from collections.abc import Mapping
from html import escape

from api.rest.problems.kinds import KINDS

CHINESE: Mapping[str, tuple[str, str]] = {
    "bad-request": (
        "请求无法读取",
        "请求体或请求头的格式不对。",
    ),
    "unauthorized": (
        "需要密钥",
        "请带上密钥：Authorization: Bearer KEY；pingti keys add 可生成密钥。",
    ),
    "forbidden": (
        "不允许",
        "密钥的角色（read、submit、admin）没有这项权限，或者该批次、文件属于另一个密钥。服务器没有设置任何密钥时，只响应发往本机回环名称的请求；其他网站的页面不能做任何更改。",
    ),
    "not-found": (
        "这里没有",
        "路径，或它指名的批次、任务、版本、文件不存在。",
    ),
    "method-not-allowed": (
        "该路径不接受此方法",
        "Allow 响应头列出了可用的方法。",
    ),
    "not-acceptable": (
        "没有客户端接受的形式",
        "detail 列出了可给出的形式，Accept 须允许其中之一。",
    ),
    "conflict": (
        "当前状态不允许",
        "例如批次还在运行就取结果，或者任务还没有已发布的学生模型。",
    ),
    "gate-not-reached": (
        "学生模型没有达到门槛",
        "留出集上的数字见报告。",
    ),
    "too-large": (
        "请求体太大",
        "detail 写明了上限（字节）。",
    ),
    "unsupported-media-type": (
        "不接受这种请求体",
        "批次用 application/json，文件用 multipart/form-data。",
    ),
    "range-not-satisfiable": (
        "请求的范围超出末尾",
        "Content-Range 给出了文件大小。",
    ),
    "invalid-input": (
        "输入不可用",
        "errors[] 逐项指出错在哪里：请求体中的指针，或者参数名。",
    ),
    "invalid-definition": (
        "任务定义有误",
        "detail 写明了文件、键和允许的范围。",
    ),
    "too-many": (
        "一次太多",
        "密钥的未完成批次数、行数或存储字节数达到了上限，或者这个地址发来了太多错误的密钥。"
        "请在 Retry-After 秒之后再试。",
    ),
    "internal": (
        "Pingti 出错",
        "服务器自身的故障；详情见服务器日志。",
    ),
    "damaged-artifact": (
        "存储的文件已损坏或版本太新",
        "工作区中的学生模型、报告或缓存无法读取。",
    ),
    "unavailable": (
        "所需的部件没有响应",
        "目前连不上消息服务或工作进程；请在 Retry-After 秒之后再试。",
    ),
    "no-space": (
        "服务器磁盘已满",
        "什么都没有存下；请删除一些文件或批次，或者告知运维人员。",
    ),
}
"""Title and meaning of each kind, as ``KINDS`` has them in English."""

_HEADS = {
    "en": ("Problems · Pingti", "Problems that Pingti reports"),
    "zh": ("错误类型 · Pingti", "Pingti 会报告的错误类型"),
}
_OTHERS = {"en": ("zh", "中文"), "zh": ("en", "English")}


def page(language: str) -> str:
    """The HTML page that explains all kinds of problems.

    Args:
        language: "en" or "zh".
    """
    title, head = _HEADS[language]
    other, name = _OTHERS[language]
    rows = "".join(_section(kind, language) for kind in KINDS)
    return (
        f'<!doctype html><html lang="{language}"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{title}</title>'
        '<link rel="icon" href="/static/icon.svg" type="image/svg+xml">'
        '<link rel="stylesheet" href="/static/pingti.css"></head><body><main class="text">'
        f'<p><a lang="{other}" href="/problems?language={other}">{name}</a></p>'
        f"<h1>{head}</h1>{rows}</main></body></html>"
    )


def _section(kind: str, language: str) -> str:
    entry = KINDS[kind]
    title, meaning = CHINESE[kind] if language == "zh" else (entry.title, entry.meaning)
    says = "，HTTP {}。{}" if language == "zh" else ", HTTP {}. {}"
    return (
        f'<section id="{kind}"><h2>{escape(title)}</h2>'
        f"<p><code>{kind}</code>{says.format(entry.status, escape(meaning))}</p></section>"
    )
