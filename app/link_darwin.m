#import <Cocoa/Cocoa.h>

extern void kithLink(char *link);

@interface KithLinks : NSObject
@end

@implementation KithLinks
- (void)open:(NSAppleEventDescriptor *)event withReply:(NSAppleEventDescriptor *)reply {
	NSString *link = [[event paramDescriptorForKeyword:keyDirectObject] stringValue];
	if (link != nil && [link hasPrefix:@"kith:"])
		kithLink((char *)[link UTF8String]);
}
@end

void kithTakeLinks(void) {
	static KithLinks *links;
	links = [[KithLinks alloc] init];
	[[NSAppleEventManager sharedAppleEventManager] setEventHandler:links
	                                                   andSelector:@selector(open:withReply:)
	                                                 forEventClass:kInternetEventClass
	                                                    andEventID:kAEGetURL];
}
