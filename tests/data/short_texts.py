"""Realistic rows in each language, as `question,label` files hold them, and the encodings that such files come in."""

from collections.abc import Iterator

ENCODINGS = {
    "Korean": ("cp949", "euc_kr"),
    "Japanese": ("cp932", "euc_jp"),
    "Simplified Chinese": ("gb18030", "gb2312"),
    "Traditional Chinese": ("big5",),
    "Arabic": ("cp1256",),
    "German": ("cp1252", "latin-1"),
    "French": ("cp1252", "latin-1"),
}

ROWS = {
    "Korean": [
        ("카드가 아직 안 왔어요", "card_arrival"),
        ("환불은 언제 되나요?", "환불"),
        ("비밀번호를 잊어버렸습니다. 어떻게 재설정하나요?", "password"),
        ("배송지를 서울특별시 강남구로 변경하고 싶습니다", "배송"),
        ("해외에서 결제하면 수수료가 얼마나 붙나요", "fee"),
        ("이체 한도를 늘려 주세요", "이체"),
        ("영수증 좀 보내주실 수 있을까요?", "receipt"),
        ("앱이 자꾸 꺼져요 ㅠㅠ", "app_crash"),
    ],
    "Japanese": [
        ("カードはまだ届いていません", "card_arrival"),
        ("返金はいつになりますか?", "返金"),
        ("パスワードを忘れました。再設定の方法を教えてください。", "password"),
        ("配送先を東京都渋谷区に変更したいです", "配送"),
        ("海外で決済すると手数料はいくらですか", "fee"),
        ("振込限度額を引き上げてほしい", "振込"),
        ("領収書を送っていただけますか", "receipt"),
        ("アプリがすぐ落ちる", "app_crash"),
    ],
    "Simplified Chinese": [
        ("我的银行卡还没有到", "card_arrival"),
        ("请问什么时候可以退款?", "退款"),
        ("我忘记了密码,怎么重新设置?", "password"),
        ("我想把收货地址改到北京市朝阳区", "配送"),
        ("在国外刷卡要收多少手续费", "fee"),
        ("请帮我提高转账限额", "转账"),
        ("能把发票发给我吗?", "receipt"),
        ("应用程序总是闪退", "app_crash"),
    ],
    "Traditional Chinese": [
        ("我的信用卡還沒有寄到", "card_arrival"),
        ("請問什麼時候可以退款?", "退款"),
        ("我忘記密碼了,要怎麼重新設定?", "password"),
        ("我想把送貨地址改到台北市大安區", "配送"),
        ("在國外刷卡要收多少手續費", "fee"),
        ("請幫我提高轉帳限額", "轉帳"),
        ("可以把發票寄給我嗎?", "receipt"),
        ("應用程式一直閃退", "app_crash"),
    ],
    "Arabic": [
        ("أين بطاقتي التي طلبتها الأسبوع الماضي", "card_arrival"),
        ("متى سأسترد أموالي؟", "استرداد"),
        ("نسيت كلمة المرور، كيف أعيد تعيينها؟", "password"),
        ("أريد تغيير عنوان التوصيل إلى الرياض", "توصيل"),
        ("كم رسوم الدفع خارج البلاد", "fee"),
        ("هل يمكن رفع حد التحويل", "تحويل"),
        ("أرسلوا لي الفاتورة من فضلكم", "receipt"),
        ("التطبيق يغلق وحده", "app_crash"),
    ],
    "German": [
        ("Meine Karte ist noch nicht da, wann kommt sie endlich? Grüße", "card_arrival"),
        ("Wann bekomme ich mein Geld zurück?", "Rückerstattung"),
        ("Ich möchte mein Passwort ändern", "password"),
        ("Bitte liefern Sie an die Hauptstraße 5 in Köln", "Lieferung"),
        ("Wie hoch sind die Gebühren außerhalb der EU?", "fee"),
        ("Können Sie mein Limit für Überweisungen erhöhen?", "Überweisung"),
        ("Könnten Sie mir die Quittung schicken", "receipt"),
        ("Die App stürzt ständig ab", "app_crash"),
    ],
    "French": [
        ("Ma carte n'est pas encore arrivée", "card_arrival"),
        ("Quand serai-je remboursé ?", "remboursement"),
        ("J'ai oublié mon mot de passe, comment le réinitialiser ?", "password"),
        ("Livrez plutôt à Besançon, s'il vous plaît", "livraison"),
        ("Quels sont les frais à l'étranger ?", "fee"),
        ("Pourriez-vous élever mon plafond de virement ? Merci d'avance", "virement"),
        ("Pouvez-vous m'envoyer le reçu", "receipt"),
        ("L'application se ferme très souvent", "app_crash"),
    ],
}  # fmt: skip
HEADERS = {
    "Korean": "질문,라벨",
    "Japanese": "質問,分類",
    "Simplified Chinese": "问题,类别",
    "Traditional Chinese": "問題,類別",
}


def files(language: str) -> Iterator[str]:
    """Files of one row, of two, of all, and of a hundred; with an English header and with one in the language."""
    rows = [f'"{text}",{label}' for text, label in ROWS[language]]
    for header in dict.fromkeys(("question,label", HEADERS.get(language, "question,label"))):
        for some in (*([row] for row in rows), *(rows[at : at + 2] for at in range(0, len(rows), 2)), rows):
            yield "\n".join((header, *some)) + "\n"
        yield "\n".join((header, *(rows[at % len(rows)] for at in range(100)))) + "\n"
